"""What an agent says to the service: four requests. Needs httpx and nothing of the service."""

import hashlib
import time
from types import TracebackType
from typing import Any, Self

from app.client.connection import Connection, Json
from app.client.errors import UnexpectedAnswer

PATH = "/v1/agent/tasks"
WAIT_S = 20
SLACK_S = 15.0  # beyond the wait that was asked for, before a connection is taken for dead


class AgentCalls:
    """Not thread-safe. Raises a NetAdaptError (app.client.errors) for whatever is no success."""

    def __init__(self, url: str, token: str | None) -> None:
        self._connection = Connection(url, token, transport=None, timeout_s=WAIT_S + SLACK_S, sleep=time.sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def claim(self, introduction: Json, *, wait_s: int = WAIT_S) -> Json | None:
        """The next task, as soon as there is one; None after `wait_s` without any."""
        found = self._connection.request("POST", f"{PATH}/claim", params={"wait": wait_s}, json=introduction)
        return found or None

    def renew(self, task: Json) -> None:
        self._connection.request("POST", f"{PATH}/{task['id']}/renew", params={"lease": task["lease"]})

    def fetch(self, file: Json) -> bytes:
        """A file of a task, whole and with the right sha256."""
        with self._connection.stream(file["url"], headers={"Accept": "*/*"}) as response:
            content = response.read()
        if hashlib.sha256(content).hexdigest() != file["sha256"]:
            raise UnexpectedAnswer({"title": "Damaged file", "detail": f"{file['url']} arrived damaged"})
        return content

    def answer(self, task: Json, document: dict[str, Any]) -> None:
        self._connection.request("PUT", f"{PATH}/{task['id']}/result", params={"lease": task["lease"]}, json=document)
