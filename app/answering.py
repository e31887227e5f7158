"""A process that answers: the application under uvicorn, on a socket that it may share with others."""

import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType

import uvicorn

from app.connections import guarded_config
from app.main import create_app
from app.settings import Settings

LAST_ANSWERS_S = 5


class Server(uvicorn.Server):
    """Tells whoever ends with it at the signal."""

    on_exit: Sequence[Callable[[], None]] = ()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        for tell in self.on_exit:
            tell()
        super().handle_exit(sig, frame)


def make_server(settings: Settings) -> Server:
    # Its log goes where ours does; of requests we write our own lines, with ids and without query strings.
    others = {"log_config": None, "access_log": False, "timeout_graceful_shutdown": LAST_ANSWERS_S}
    return Server(guarded_config(create_app(settings), settings, **others))


def answer(server: Server, listener: socket.socket) -> None:
    """Until SIGINT or SIGTERM. On a socket of several processes the kernel gives each connection to one of them."""
    # uvicorn raises the signal again once it has stopped; by default that would then end us on the spot and leave
    # behind whatever runs beside us.
    with suppress(KeyboardInterrupt):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.default_int_handler)
        server.run(sockets=[listener])
