"""`netadapt serve`: the API in this process, further ones and a worker beside it, and all end together."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from app.answering import Server, answer, make_server
from app.auth import BindRefused, TokenRepository, check_bind
from app.cli.failures import CommandFailed, failures_as_one_line
from app.cli.supervision import FURTHER_API, WORKER, Supervisor
from app.database import make_engine, make_sessions, migrate, reading
from app.logs import set_up_logging
from app.scratch import check_data_folder

if TYPE_CHECKING:
    from app.settings import Settings


def serve_until_stopped(settings: "Settings", *, host: str, port: int, processes: int, with_worker: bool) -> None:
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
            server = make_server(settings)
        beside = _processes_beside(server, settings, listener, processes=processes, with_worker=with_worker)
        # All end at the signal: the worker drains while the last requests are answered.
        server.on_exit = [supervisor.begin_to_stop for supervisor in beside]
        with _running(beside):
            answer(server, listener)
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


def _processes_beside(
    server: Server, settings: "Settings", listener: socket.socket, *, processes: int, with_worker: bool
) -> list[Supervisor]:
    def end_the_server() -> None:
        server.should_exit = True

    further = [
        Supervisor(
            f"API process {number}",
            (*FURTHER_API, str(listener.fileno())),
            end_the_server,
            silent_s=settings.silent_s,
            handed_down=[listener.fileno()],
        )
        for number in range(2, processes + 1)
    ]
    worker = Supervisor("the worker", WORKER, end_the_server, silent_s=settings.silent_s)
    return [*further, worker] if with_worker else further


@contextmanager
def _running(supervisors: Sequence[Supervisor]) -> Iterator[None]:
    for supervisor in supervisors:
        supervisor.start()
    try:
        yield
    finally:
        for supervisor in supervisors:
            supervisor.begin_to_stop()
        for supervisor in supervisors:
            supervisor.stop()


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
