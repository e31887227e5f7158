"""`netadapt serve`: the API in this process, one worker beside it, and both end together."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import typer
import uvicorn

from app.auth import BindRefused, TokenRepository, check_bind
from app.cli.failures import CommandFailed, failures_as_one_line
from app.cli.supervision import WorkerSupervisor
from app.database import make_engine, make_sessions, migrate, reading
from app.logs import set_up_logging
from app.main import create_app

if TYPE_CHECKING:
    from app.settings import Settings


def serve_until_stopped(settings: "Settings", *, host: str, port: int, with_worker: bool) -> None:
    """Serves until SIGINT or SIGTERM. Raises CommandFailed when it cannot start."""
    set_up_logging(settings.log_format, settings.log_level)
    with failures_as_one_line():
        migrate(settings.database_url)
    refuse_open_address(settings, host)
    with _listening(host, port) as listener:
        address, bound_port = listener.getsockname()[:2]
        typer.echo(f"NetAdapt at http://{_in_url(address)}:{bound_port} (documentation at /docs); Ctrl-C ends it")
        with failures_as_one_line():
            api = create_app(settings)
        # Its log goes where ours does; of requests we write our own lines, with ids and without query strings.
        config = uvicorn.Config(
            api, log_config=None, access_log=False, timeout_graceful_shutdown=5, proxy_headers=False
        )
        server = uvicorn.Server(config)
        # uvicorn raises the signal again once it has stopped; by default SIGTERM would then end us on the spot and
        # leave the worker behind.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt), _worker_beside(server, wanted=with_worker):
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
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Bound before anything starts, so that a port in use is one line and not a worker left behind."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family)
    except OSError as error:
        raise CommandFailed(f"{host}:{port}: {error.strerror}; choose another with --host or --port") from error
    with listener:
        yield listener


@contextmanager
def _worker_beside(server: uvicorn.Server, *, wanted: bool) -> Iterator[None]:
    def end_the_server() -> None:
        server.should_exit = True

    supervisor = WorkerSupervisor(end_the_server)
    if wanted:
        supervisor.start()
    try:
        yield
    finally:
        if wanted:
            supervisor.stop()


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
