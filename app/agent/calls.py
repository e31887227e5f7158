"""What an agent says to the service: four requests. Needs httpx and nothing of the service."""

import hashlib
import time
from types import TracebackType
from typing import Any, Self

from app.client.driving import Address, BlockingDriver
from app.client.errors import UnexpectedAnswer
from app.client.exchange import Json, answer_of, exchange, request

PATH = "/v1/agent/tasks"
WAIT_S = 20
SLACK_S = 15.0  # beyond the wait that was asked for, before a connection is taken for dead


class AgentCalls:
    """Not thread-safe. Raises a NetAdaptError (app.client.errors) for whatever is no success."""

    def __init__(self, url: str, token: str | None) -> None:
        self._driver = BlockingDriver(Address(url, token, WAIT_S + SLACK_S), transport=None, sleep=time.sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._driver.close()

    def claim(self, introduction: Json, *, wait_s: int = WAIT_S) -> Json | None:
        """The next task, as soon as there is one; None after `wait_s` without any."""
        found = self._driver.run(request("POST", f"{PATH}/claim", params={"wait": wait_s}, json=introduction))
        if found and not _is_task(found):
            detail = "the answer to a question for work is no task; is it a NetAdapt service?"
            raise UnexpectedAnswer({"title": "Unexpected answer", "detail": detail})
        return dict(found) or None

    def renew(self, task: Json) -> None:
        self._driver.run(request("POST", f"{PATH}/{task['id']}/renew", params={"lease": task["lease"]}))

    def fetch(self, file: Json) -> bytes:
        """A file of a task, whole and with the right sha256."""
        response = self._driver.run(exchange("GET", file["url"], headers={"Accept": "*/*"}))
        if not response.is_success:
            answer_of(response)
        content = response.content
        if hashlib.sha256(content).hexdigest() != file["sha256"]:
            raise UnexpectedAnswer({"title": "Damaged file", "detail": f"{file['url']} arrived damaged"})
        return content

    def answer(self, task: Json, document: dict[str, Any]) -> None:
        lease = {"lease": task["lease"]}
        self._driver.run(request("PUT", f"{PATH}/{task['id']}/result", params=lease, json=document))


def _is_task(found: Json) -> bool:
    """Whether it is what the service answers: any proxy may say something in JSON, too. Files are the service's own,
    so the token goes nowhere else."""
    files = [found.get(which) for which in ("candidate", "reference")]
    return (
        isinstance(found.get("id"), str)
        and isinstance(found.get("lease"), int)
        and isinstance(found.get("plan"), dict)
        and all(isinstance(value, int | float) for value in found["plan"].values())
        and all(isinstance(file, dict) and isinstance(file.get("sha256"), str) for file in files)
        and all(str(file.get("url")).startswith(f"{PATH}/") for file in files if file)
    )
