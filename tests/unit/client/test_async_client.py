"""The asynchronous client: the same verbs, awaited. What they do is tested with the blocking one."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from app.client import AsyncClient, Client
from app.client.errors import NotFound, ServiceUnreachable
from app.client.verbs import submit
from tests.unit.client.test_client import Handler, answering, problem, served, stream_of


def asked(handler: Handler, act: Callable[[AsyncClient], Awaitable[Any]], naps: list[float] | None = None) -> Any:
    async def sleep(seconds: float) -> None:
        if naps is not None:
            naps.append(seconds)

    async def main() -> Any:
        async with AsyncClient("http://service.test", transport=httpx.MockTransport(handler), sleep=sleep) as client:
            return await act(client)

    return anyio.run(main)


async def listed(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def test_it_has_the_verbs_of_the_blocking_client_with_their_parameters_and_words() -> None:
    blocking, awaiting = Client(), AsyncClient()
    for where in ("", "models", "datasets", "targets", "jobs", "webhooks"):
        one, other = (getattr(client, where) if where else client for client in (blocking, awaiting))
        names = {name for name in dir(one) if not name.startswith("_")}
        assert names == {name for name in dir(other) if not name.startswith("_")}
        for name in names - {"close", "models", "datasets", "targets", "jobs", "webhooks"}:
            assert inspect.signature(getattr(one, name)) == inspect.signature(getattr(other, name)), name
            assert getattr(one, name).__doc__ == getattr(other, name).__doc__
    assert inspect.signature(blocking.submit) == inspect.signature(submit)
    blocking.close()
    anyio.run(awaiting.close)


def test_answers_listings_and_errors_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(b"PK-network")
    seen: list[httpx.Request] = []
    handler = answering(httpx.ReadError("reset"), httpx.Response(202, json={"id": "job_1"}), seen=seen)
    naps: list[float] = []
    job = asked(handler, lambda client: client.submit(tmp_path / "net.pt2", budget={"macs": "50%"}), naps)
    assert (job["id"], naps) == ("job_1", [0.25])
    assert all(b"PK-network" in request.content for request in seen)
    pages = [{"data": [{"id": "a"}], "next_cursor": "c"}, {"data": [{"id": "b"}], "next_cursor": None}]
    answers = [httpx.Response(200, json=page) for page in pages]
    assert asked(answering(*answers), lambda client: listed(client.models.list())) == [{"id": "a"}, {"id": "b"}]
    with pytest.raises(NotFound):
        asked(answering(problem(404)), lambda client: client.jobs.get("job_1"))
    with pytest.raises(ServiceUnreachable, match=r"nothing answers at http://service.test;"):
        asked(answering(*[httpx.ConnectError("refused")] * 3), lambda client: client.info())


def test_a_broken_stream_of_events_is_taken_up_where_it_broke() -> None:
    seen: list[httpx.Request] = []
    handler = answering(
        stream_of((1, "state", {"state": "running"}), broken=True),
        stream_of((2, "message", {"text": "hello"}), (3, "state", {"state": "succeeded"})),
        seen=seen,
    )
    events = asked(handler, lambda client: listed(client.watch("job_1")))
    assert [event["id"] for event in events] == [1, 2, 3]
    assert [request.headers.get("Last-Event-ID") for request in seen] == [None, "1"]


def test_a_download_goes_on_where_it_broke(tmp_path: Path) -> None:
    seen: list[httpx.Request] = []
    handler = served(b"onnx-file", breaks=(4,), seen=seen)
    file = asked(handler, lambda client: client.download("job_1", tmp_path / "net.onnx"))
    assert file.read_bytes() == b"onnx-file"
    assert [request.headers.get("Range") for request in seen] == [None, "bytes=4-"]
