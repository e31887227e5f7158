"""`netadapt serve`: the API in this process, one worker beside it, and both end together."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

import typer
import uvicorn

from app.auth import BindRefused, TokenRepository, check_bind
from app.cli.failures import CommandFailed, failures_as_one_line
from app.cli.supervision import WorkerSupervisor
from app.connections import guarded_config
from app.database import make_engine, make_sessions, migrate, reading
from app.logs import set_up_logging
from app.main import create_app
from app.scratch import check_data_folder

if TYPE_CHECKING:
    from app.settings import Settings


def serve_until_stopped(settings: "Settings", *, host: str, port: int, with_worker: bool) -> None:
    """Serves until SIGINT or SIGTERM. Raises CommandFailed when it cannot start."""
    set_up_logging(settings.log_format, settings.log_level)
    with failures_as_one_line():
        check_data_folder(settings.data_dir)
        migrate(settings.database_url)
    refuse_open_address(settings, host)
    with listening(host, port) as listener:
        address, bound_port = listener.getsockname()[:2]
        typer.echo(f"NetAdapt at http://{_in_url(address)}:{bound_port} (documentation at /docs); Ctrl-C ends it")
        with failures_as_one_line():
            api = create_app(settings)
        # Its log goes where ours does; of requests we write our own lines, with ids and without query strings.
        config = guarded_config(api, settings, log_config=None, access_log=False, timeout_graceful_shutdown=5)
        server = _Server(config)
        # uvicorn raises the signal again once it has stopped; by default SIGTERM would then end us on the spot and
        # leave the worker behind.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt), _worker_beside(server, settings, wanted=with_worker):
            server.run(sockets=[listener])
    if not server.started:
        raise CommandFailed("the API did not start; the reason stands above")


def refuse_open_address(settings: "Settings", host: str) -> None:
    """Raises CommandFailed for an address beyond this machine while nobody would have to sign in."""
    engine = make_engine(settings.database_url)
    try:
        with reading(make_sessions(engine)) as session:
            check_bind(host, tokens_exist=TokenRepository(session).tokens_exist())
    except BindRefused as error:
        raise CommandFailed(str(error)) from error
    finally:
        engine.dispose()


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Bound before anything starts, so that a port in use is one line and not a worker left behind."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family)
        # An answer is two writes. asyncio turns Nagle's waiting off for sockets that are named TCP, which ours is not:
        # each answer then waited for the client's delayed acknowledgement, 40 ms. What it accepts inherits this.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise CommandFailed(f"{host}:{port}: {error.strerror}; choose another with --host or --port") from error
    with listener:
        yield listener


class _Server(uvicorn.Server):
    """Tells whoever ends with it at the signal: the worker drains while the last requests are answered."""

    on_exit: Callable[[], None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.on_exit is not None:
            self.on_exit()
        super().handle_exit(sig, frame)


@contextmanager
def _worker_beside(server: _Server, settings: "Settings", *, wanted: bool) -> Iterator[None]:
    def end_the_server() -> None:
        server.should_exit = True

    supervisor = WorkerSupervisor(end_the_server, silent_s=settings.silent_s)
    server.on_exit = supervisor.begin_to_stop
    if wanted:
        supervisor.start()
    try:
        yield
    finally:
        if wanted:
            supervisor.stop()


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
