"""A child's end of the pipe to its parent."""

import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NoReturn


class Line:
    """Shared by the child's threads. Without a parent there is nothing to live for: then `end` is called."""

    def __init__(self, connection: Connection, end: Callable[[], NoReturn]) -> None:
        self._connection, self._end = connection, end
        self._sending = threading.Lock()

    def send(self, report: object) -> None:
        try:
            with self._sending:
                self._connection.send(report)
        except OSError:
            self._end()

    def receive(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            self._end()
