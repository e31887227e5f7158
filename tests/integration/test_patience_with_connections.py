"""Connections that never say what they want, over real sockets. The service's patience is short here: 0.3 s."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from tests.served_app import ServedApp, served_app

PATIENCE_S = 0.3
HEAD = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    patience = {f"{what}_timeout_s": PATIENCE_S for what in ("head", "body", "answer")}
    with served_app(Settings(data_dir=tmp_path_factory.mktemp("service"), **patience)) as running:
        yield running


@pytest.fixture
def connection(app: ServedApp) -> Iterator[socket.socket]:
    host, port = app.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as opened:
        yield opened


def all_of(connection: socket.socket) -> bytes:
    """Until the service ends the connection: a wait for ever would fail by the socket's own limit."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def problem_in(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    document = json.loads(body)
    assert b"application/problem+json" in head
    assert b"nosniff" in head
    assert int(head.split()[1]) == document["status"]
    return document["status"], document["type"].removeprefix("urn:netadapt:problem:")


def trickle(connection: socket.socket, data: bytes) -> None:
    """A byte at a time, each well within the patience, until the other side has had enough."""
    try:
        for byte in data:
            connection.send(bytes([byte]))
            time.sleep(PATIENCE_S / 6)
    except (BrokenPipeError, ConnectionResetError):
        pass


def test_a_connection_that_says_nothing_is_ended_without_a_word(connection: socket.socket) -> None:
    assert all_of(connection) == b""


def test_headers_that_never_end_are_cut(connection: socket.socket) -> None:
    connection.send(HEAD)
    assert problem_in(all_of(connection)) == (408, "request-timeout")


def test_headers_that_trickle_in_are_cut(connection: socket.socket) -> None:
    trickle(connection, HEAD[:30])
    assert problem_in(all_of(connection)) == (408, "request-timeout")


def test_a_second_request_has_the_same_patience_as_the_first(connection: socket.socket) -> None:
    connection.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"200 OK" in connection.recv(65536)
    connection.send(b"GET /healthz HTTP/1.1\r\n")
    assert b"408" in all_of(connection)


def test_a_body_that_never_comes_is_cut(connection: socket.socket) -> None:
    connection.send(HEAD + b"Content-Length: 10\r\n\r\n")
    assert problem_in(all_of(connection)) == (408, "request-timeout")


def test_a_body_of_which_a_byte_comes_now_and_then_is_cut(connection: socket.socket) -> None:
    connection.send(HEAD + b"Content-Length: 1000\r\n\r\n")
    trickle(connection, b"{" * 30)
    assert problem_in(all_of(connection)) == (408, "request-timeout")


def test_a_form_that_trickles_in_leaves_nothing_behind(app: ServedApp, connection: socket.socket) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nabc'
    kind = b"POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    connection.send(kind + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(part), part))
    assert problem_in(all_of(connection)) == (408, "request-timeout")
    assert list(app.services.scratch.iterdir()) == []


def test_the_rest_of_a_body_that_was_refused_is_not_waited_for(connection: socket.socket) -> None:
    connection.send(HEAD.replace(b"application/json", b"text/plain") + b"Content-Length: 1000000\r\n\r\n{")
    assert b"415" in all_of(connection).splitlines()[0]


def test_an_answer_that_nobody_reads_is_given_up(app: ServedApp) -> None:
    host, port = app.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect((host, int(port)))
        connection.send(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        time.sleep(4 * PATIENCE_S)
        received = len(all_of(connection))
    assert 0 < received < 20 * 1_000_000


@pytest.mark.parametrize("size", [40_000, 300_000])
def test_headers_of_any_size_are_no_way_to_fill_memory(connection: socket.socket, size: int) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * size + b"\r\n\r\n")
    assert b"431" in connection.recv(65536).splitlines()[0]


@pytest.mark.parametrize(
    "text", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"\0" * 100 + b"\r\n\r\n"]
)
def test_what_is_no_http_gets_a_problem(connection: socket.socket, text: bytes) -> None:
    connection.send(text)
    assert problem_in(all_of(connection))[0] in {400, 408}


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nContent-Length: 50",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999999999",
        b"Content-Length: 0x10",
        b"Transfer-Encoding: gzip, chunked",
        b"Host: evil.example",
    ],
)
def test_headers_that_two_servers_might_read_differently_are_refused(connection: socket.socket, headers: bytes) -> None:
    connection.send(HEAD + headers + b"\r\n\r\n{}")
    status = int(all_of(connection).split()[1])
    assert status in {400, 408, 413, 501}


def test_a_body_of_two_lengths_is_refused_and_what_follows_it_is_no_request(connection: socket.socket) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    two_lengths = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    connection.send(HEAD + two_lengths + hidden)
    assert problem_in(all_of(connection)) == (400, "malformed")


def test_a_length_that_promises_too_much_is_refused_before_it_comes(connection: socket.socket) -> None:
    connection.send(HEAD + b"Content-Length: 99999999\r\n\r\n")
    assert problem_in(all_of(connection)) == (413, "too-large")


def test_chunks_without_end_are_counted_as_they_come(connection: socket.socket) -> None:
    connection.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    try:
        for _ in range(64):
            connection.send(chunk)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert b"413" in connection.recv(65536).splitlines()[0]


def test_a_hundred_connections_that_say_nothing_keep_nobody_out(app: ServedApp) -> None:
    host, port = app.url.removeprefix("http://").split(":")
    idle = [socket.create_connection((host, int(port)), timeout=60) for _ in range(100)]
    try:
        with app.client() as client:
            assert client.get("/healthz").status_code == 200
        assert [all_of(each) for each in idle] == [b""] * 100
    finally:
        for each in idle:
            each.close()


def test_more_connections_than_are_served_get_a_problem(tmp_path: Path) -> None:
    with served_app(Settings(data_dir=tmp_path, max_connections=10)) as app, app.client() as client:
        host, port = app.url.removeprefix("http://").split(":")
        held = [socket.create_connection((host, int(port)), timeout=60) for _ in range(10)]
        try:
            answer = client.get("/healthz")
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:netadapt:problem:too-many-connections")
            assert answer.headers["retry-after"] == "1"
        finally:
            for each in held:
                each.close()
