"""The client against answers made up here: requests, retries, problems, streams, downloads."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.client import Client
from app.client.errors import (
    Conflict,
    Invalid,
    NetAdaptError,
    NotFound,
    ServiceFailed,
    ServiceUnreachable,
    SignInNeeded,
    UnexpectedAnswer,
)

Handler = Callable[[httpx.Request], httpx.Response]


def client_of(handler: Handler, *, token: str | None = None, naps: list[float] | None = None) -> Client:
    sleep = (lambda seconds: None) if naps is None else naps.append
    return Client("http://service.test", token, transport=httpx.MockTransport(handler), sleep=sleep)


def problem(status: int, **fields: Any) -> httpx.Response:
    return httpx.Response(status, json={"type": "urn:netadapt:problem:x", "status": status, **fields})


class Chunks(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body for either client."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


def stream_of(*events: tuple[int | None, str, dict[str, Any]], broken: bool = False) -> httpx.Response:
    def chunks() -> Iterator[bytes]:
        for number, kind, data in events:
            body = json.dumps({"id": number, "event": kind, "job": "job_1", "at": "now", "data": data})
            head = f"id: {number}\n" if number is not None else ""
            yield f"{head}event: {kind}\ndata: {body}\n\n".encode()
        if broken:
            raise httpx.ReadError("reset by peer")

    return httpx.Response(200, headers={"Content-Type": "text/event-stream; charset=utf-8"}, stream=Chunks(chunks()))


def test_a_listing_goes_through_all_pages() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if "cursor" not in request.url.params:
            return httpx.Response(200, json={"data": [{"id": "a"}], "next_cursor": "c 1"})
        assert request.url.params["cursor"] == "c 1"
        return httpx.Response(200, json={"data": [{"id": "b"}], "next_cursor": None})

    assert [model["id"] for model in client_of(handler).models.list()] == ["a", "b"]


def test_the_token_goes_along_as_a_bearer() -> None:
    seen = []
    client = client_of(lambda request: seen.append(request) or httpx.Response(200, json={}), token="nat_1")
    client.info()
    assert seen[0].headers["Authorization"] == "Bearer nat_1"


@pytest.mark.parametrize(
    ("status", "kind"), [(401, SignInNeeded), (404, NotFound), (409, Conflict), (422, Invalid), (500, ServiceFailed)]
)
def test_a_problem_becomes_its_error_with_all_its_fields(status: int, kind: type[NetAdaptError]) -> None:
    fields = {"title": "T", "detail": "no", "errors": [{"pointer": "/budget", "detail": "is missing"}], "extra": 1}
    with pytest.raises(kind) as raised:
        client_of(lambda _: problem(status, **fields)).jobs.get("job_1")
    error = raised.value
    assert (error.type, error.title, error.status, error.detail) == ("urn:netadapt:problem:x", "T", status, "no")
    assert error.errors == fields["errors"]
    assert error.problem["extra"] == 1
    assert str(error) == "no; /budget: is missing"


def test_an_answer_that_is_no_json_is_told_apart() -> None:
    with pytest.raises(UnexpectedAnswer, match="is it a NetAdapt service"):
        client_of(lambda _: httpx.Response(200, text="<html>")).info()


def test_reading_is_tried_again_after_a_broken_connection_and_after_503() -> None:
    answers: list[httpx.Response | Exception] = [
        httpx.ReadError("reset"),
        httpx.Response(503, headers={"Retry-After": "7"}, json={}),
        httpx.Response(200, json={"version": "1"}),
    ]
    naps: list[float] = []

    def handler(_: httpx.Request) -> httpx.Response:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert client_of(handler, naps=naps).info() == {"version": "1"}
    assert naps == [0.25, 7.0]


def answering(*answers: httpx.Response | Exception, seen: list[httpx.Request] | None = None) -> Handler:
    """One after the other."""
    left = list(answers)

    def handler(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler


def test_a_post_whose_answer_was_lost_is_sent_again_under_the_same_key(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(b"PK-network")
    running = problem(409, type="urn:netadapt:problem:first-request-running")
    seen: list[httpx.Request] = []
    naps: list[float] = []
    handler = answering(httpx.ReadError("reset"), running, httpx.Response(202, json={"id": "job_1"}), seen=seen)
    job = client_of(handler, naps=naps).submit(tmp_path / "net.pt2", budget={"macs": "50%"})
    assert job["id"] == "job_1"
    assert naps == [0.25, 0.5]
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1
    assert all(b"PK-network" in request.read() for request in seen)


def test_two_posts_have_two_keys_unless_a_key_is_given() -> None:
    seen: list[httpx.Request] = []
    client = client_of(lambda request: seen.append(request) or httpx.Response(202, json={"id": "job_1"}))
    client.submit("mdl_1", budget={"macs": 1})
    client.submit("mdl_1", budget={"macs": 1})
    client.extend("job_1", budget={"macs": 1}, idempotency_key="mine")
    first, second, third = (request.headers["Idempotency-Key"] for request in seen)
    assert first != second
    assert third == "mine"


def test_a_refusal_is_not_tried_again() -> None:
    seen: list[httpx.Request] = []
    with pytest.raises(Conflict):
        client_of(answering(problem(409), seen=seen)).cancel("job_1")
    assert len(seen) == 1


def test_a_deletion_whose_answer_was_lost_is_done() -> None:
    client_of(answering(httpx.ReadError("reset"), problem(404))).models.delete("mdl_1")
    with pytest.raises(NotFound):
        client_of(answering(problem(404))).models.delete("mdl_1")


def test_a_refused_connection_says_what_to_do() -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(
        ServiceUnreachable, match="start it with `netadapt serve`, or name another with --url"
    ) as raised:
        client_of(handler).submit("mdl_1", budget={"macs": 1})
    assert raised.value.status is None


def test_a_large_data_set_is_waited_for_before_an_architecture_is_built_for_it(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK")
    states, asked, naps = ["checking", "checking", "ready"], [], []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        return httpx.Response(
            200, json={"id": "dst_1", "state": states.pop(0) if "datasets" in asked[-1] else "queued"}
        )

    client_of(handler, naps=naps).submit("resnet18", budget={"macs": "50%"}, dataset=tmp_path / "x.zip")
    assert asked == ["POST /v1/datasets", *["GET /v1/datasets/dst_1"] * 2, "POST /v1/jobs"]
    assert len(naps) == 1


def test_an_id_goes_as_json_and_leaves_out_what_was_not_said() -> None:
    seen = []
    client = client_of(lambda request: seen.append(request) or httpx.Response(202, json={"id": "job_1"}))
    client.submit("mdl_1", budget={"latency_ms": "60%"}, dataset="digits", settings={"seed": 1})
    expected = {"model": "mdl_1", "budget": {"latency_ms": "60%"}, "dataset": "digits", "settings": {"seed": 1}}
    assert json.loads(seen[0].content) == expected


def test_a_file_goes_with_the_request_in_one_call(tmp_path: Path) -> None:
    network = tmp_path / "net.pt2"
    network.write_bytes(b"PK-network")
    seen = []
    client = client_of(lambda request: seen.append(request.read()) or httpx.Response(202, json={"id": "job_1"}))
    client.submit(network, budget={"macs": "50%"}, dataset="digits")
    body = seen[0]
    assert b'name="model"; filename="net.pt2"' in body
    assert b"PK-network" in body
    assert b'name="request"' in body
    assert json.dumps({"budget": {"macs": "50%"}, "dataset": "digits"}).encode() in body


@pytest.mark.parametrize("source", ["missing.pt2", "./missing", "folder/net"])
def test_what_looks_like_a_file_and_is_not_there_is_refused_before_anything_is_sent(source: str) -> None:
    client = client_of(lambda _: pytest.fail("nothing may be sent"))
    with pytest.raises(NetAdaptError, match="no such file"):
        client.submit(source, budget={"macs": 1})


def test_check_asks_again_while_the_service_measures() -> None:
    answers = [{"feasible": None, "retry_after_seconds": 3}, {"feasible": True}]
    naps: list[float] = []
    client = client_of(lambda _: httpx.Response(200, json=answers.pop(0)), naps=naps)
    assert client.check("mdl_1", budget={"latency_ms": 1})["feasible"] is True
    assert naps == [3.0]


def test_a_broken_stream_is_taken_up_after_the_last_numbered_event() -> None:
    streams = [
        stream_of((1, "state", {"state": "running"}), (None, "progress", {"fraction": 0.5}), broken=True),
        stream_of((2, "message", {"text": "hello"}), (3, "state", {"state": "succeeded"})),
    ]
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        return streams.pop(0)

    events = list(client_of(handler).watch("job_1"))
    assert [(event["id"], event["event"]) for event in events] == [
        (1, "state"),
        (None, "progress"),
        (2, "message"),
        (3, "state"),
    ]
    assert asked == [None, "1"]


def test_watching_a_finished_job_past_its_last_event_ends() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.headers["Accept"] == "text/event-stream":
            return stream_of()
        if request.url.path.endswith("/events"):
            return httpx.Response(200, json={"data": [], "next_cursor": None})
        return httpx.Response(200, json={"id": "job_1", "state": "failed"})

    assert list(client_of(handler).watch("job_1", after=9)) == []


def test_a_stream_that_never_comes_about_is_given_up() -> None:
    naps: list[float] = []

    def handler(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(ServiceUnreachable):
        list(client_of(handler, naps=naps).watch("job_1"))
    assert naps == sorted(naps)
    assert max(naps) <= 30.0


def test_an_unknown_job_is_not_waited_for() -> None:
    with pytest.raises(NotFound):
        list(client_of(lambda _: problem(404)).watch("job_no"))


def file_answer(content: bytes, named: bytes) -> httpx.Response:
    return httpx.Response(200, headers={"ETag": f'"{hashlib.sha256(named).hexdigest()}"'}, content=content)


def test_a_download_is_checked_and_moved_into_place(tmp_path: Path) -> None:
    seen = []
    client = client_of(lambda request: seen.append(request.url) or file_answer(b"onnx", b"onnx"))
    file = client.download("job_1", tmp_path / "net.onnx", format="onnx", checkpoint=0)
    assert file.read_bytes() == b"onnx"
    assert seen[0].path == "/v1/jobs/job_1/checkpoints/0/file"
    assert seen[0].params["format"] == "onnx"
    assert list(tmp_path.iterdir()) == [file]


def test_a_damaged_download_leaves_the_old_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(b"old")
    with pytest.raises(UnexpectedAnswer, match="damaged"):
        client_of(lambda _: file_answer(b"onn", b"onnx")).download("job_1", file)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def served(content: bytes, *, breaks: tuple[int, ...], seen: list[httpx.Request]) -> Handler:
    """Serves ranges as the service does; the first connections break after so many bytes."""
    left = list(breaks)
    etag = f'"{hashlib.sha256(content).hexdigest()}"'

    def body(start: int) -> Iterator[bytes]:
        if not left:
            yield content[start:]
            return
        yield content[start : start + left.pop(0)]
        raise httpx.ReadError("reset")

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        asked = request.headers.get("Range")
        if asked is None or request.headers["If-Range"] != etag:
            return httpx.Response(200, headers={"ETag": etag}, stream=Chunks(body(0)))
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            return httpx.Response(416, headers={"ETag": etag, "Content-Range": f"bytes */{len(content)}"})
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return httpx.Response(206, headers={"ETag": etag, "Content-Range": span}, stream=Chunks(body(start)))

    return handler


def test_a_download_that_breaks_goes_on_where_it_broke(tmp_path: Path) -> None:
    seen: list[httpx.Request] = []
    handler = served(b"onnx-file", breaks=(4, 3), seen=seen)
    file = client_of(handler).download("job_1", tmp_path / "net.onnx")
    assert file.read_bytes() == b"onnx-file"
    assert [request.headers.get("Range") for request in seen] == [None, "bytes=4-", "bytes=7-"]
    assert list(tmp_path.iterdir()) == [file]


def test_a_download_that_was_given_up_is_taken_up_by_the_next(tmp_path: Path) -> None:
    seen: list[httpx.Request] = []
    naps: list[float] = []
    with pytest.raises(ServiceUnreachable):
        client_of(served(b"onnx-file", breaks=(4, *(0,) * 9), seen=seen), naps=naps).download(
            "job_1", tmp_path / "net.onnx"
        )
    assert len(seen) == 6
    assert naps == sorted(naps)
    seen.clear()
    file = client_of(served(b"onnx-file", breaks=(), seen=seen)).download("job_1", tmp_path / "net.onnx")
    assert [request.headers.get("Range") for request in seen] == ["bytes=4-"]
    assert file.read_bytes() == b"onnx-file"


@pytest.mark.parametrize(
    ("left", "of", "asked"),
    [
        (b"another", b"another file", ["bytes=7-"]),  # the checkpoint of another job, say
        (b"onnx-file", b"onnx-file", ["bytes=9-"]),  # whole, and not moved into place
        (b"0000", b"onnx-file", ["bytes=4-", None]),  # spoilt on the disk
    ],
)
def test_what_an_earlier_download_left_is_used_only_if_it_is_part_of_the_file(
    tmp_path: Path, left: bytes, of: bytes, asked: list[str | None]
) -> None:
    (tmp_path / f"net.onnx.{hashlib.sha256(of).hexdigest()}.part").write_bytes(left)
    seen: list[httpx.Request] = []
    file = client_of(served(b"onnx-file", breaks=(), seen=seen)).download("job_1", tmp_path / "net.onnx")
    assert [request.headers.get("Range") for request in seen] == asked
    assert file.read_bytes() == b"onnx-file"
    assert list(tmp_path.iterdir()) == [file]


def test_an_upload_says_how_far_it_is_out(tmp_path):
    (tmp_path / "net.onnx").write_bytes(bytes(300_000))
    told: list[tuple[int, int]] = []
    answered = httpx.MockTransport(
        lambda request: httpx.Response(201, json={"id": "mdl_1", "bytes": len(request.read())})
    )
    with Client("http://service.test", transport=answered, on_upload=lambda *bytes_: told.append(bytes_)) as client:
        model = client.models.add(tmp_path / "net.onnx")
    sent, sizes = zip(*told, strict=True)
    assert len(told) > 2
    assert list(sent) == sorted(sent)
    assert set(sizes) == {sent[-1]} == {model["bytes"]}
