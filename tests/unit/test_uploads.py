"""A form is read as it arrives: any order, any chunking, capped, hashed, and nothing is left on disk."""

import errno
import hashlib
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import app.uploads
from app.storage import StorageFull
from app.uploads import (
    FieldRefused,
    FormShape,
    MalformedUpload,
    UploadError,
    UploadLimits,
    UploadTooLarge,
    WrongContentType,
    receive_form,
)

SHAPE = FormShape(files=frozenset({"file", "dataset"}), fields=frozenset({"name"}))
LIMITS = UploadLimits(max_file_bytes=1000, max_field_bytes=50, max_parts=4)
HEADERS = {"content-type": "multipart/form-data; boundary=XX"}


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    label = "" if filename is None else f'; filename="{filename}"'
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{label}\r\n\r\n'.encode() + content + b"\r\n"


END = b"--XX--\r\n"


def receive(
    body: bytes, folder: Path, *, headers: Mapping[str, str] = HEADERS, chunk: int = 7
) -> tuple[dict[str, tuple[bytes, str, str]], dict[str, str]]:
    """File parts as (content, sha256, file name), and the text fields."""

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(body), chunk):
            yield body[start : start + chunk]

    async def run() -> tuple[dict[str, tuple[bytes, str, str]], dict[str, str]]:
        async with receive_form(stream(), headers, shape=SHAPE, limits=LIMITS, folder=folder) as form:
            files = {name: (file.path.read_bytes(), file.sha256, file.filename) for name, file in form.files.items()}
            assert all(file.bytes == len(files[name][0]) for name, file in form.files.items())
            return files, dict(form.fields)

    try:
        return anyio.run(run)
    finally:
        assert list(folder.iterdir()) == [], "a temporary file was left behind"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("chunk", [1, 13, 100_000])
def test_parts_come_in_any_order_and_any_chunks(tmp_path: Path, order: tuple[int, ...], chunk: int) -> None:
    parts = [part("file", b"\r\n--X" * 40, "net.pt2"), part("name", "größe".encode()), part("dataset", b"", "d.npz")]
    files, fields = receive(b"".join(parts[i] for i in order) + END, tmp_path, chunk=chunk)
    content = b"\r\n--X" * 40
    assert files == {
        "file": (content, hashlib.sha256(content).hexdigest(), "net.pt2"),
        "dataset": (b"", hashlib.sha256(b"").hexdigest(), "d.npz"),
    }
    assert fields == {"name": "größe"}


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        (b"", MalformedUpload, "closing boundary"),
        (b"no multipart at all", MalformedUpload, ""),
        (part("file", b"half", "f"), MalformedUpload, "closing boundary"),
        (b"--XX\r\nContent-Type: text/plain\r\n\r\nx\r\n" + END, MalformedUpload, "Content-Disposition"),
        (part("name", b"a") * 2 + END, FieldRefused, "/name: given twice"),
        (part("file", b"a", "f") * 2 + END, FieldRefused, "/file: given twice"),
        (part("normalisation", b"a") + END, FieldRefused, "/normalisation: unknown field"),
        (part("a/b~c", b"a") + END, FieldRefused, "/a~1b~0c: unknown field"),
        (part("file", b"text") + END, FieldRefused, "/file: has to be sent as a file"),
        (part("name", b"\xff\xfe") + END, FieldRefused, "/name: is not UTF-8"),
        (part("name", b"n" * 51) + END, UploadTooLarge, "'name' is larger than the limit of 50 bytes"),
        (part("file", b"n" * 1001, "f") + END, UploadTooLarge, "'file' is larger than the limit of 1000 bytes"),
        (b"".join(part(f"{i}", b"") for i in range(5)) + END, UploadError, ""),
    ],
)
def test_a_bad_form_is_refused_with_its_reason(tmp_path: Path, body: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        receive(body, tmp_path)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, WrongContentType),
        ({"content-type": "application/json"}, WrongContentType),
        ({"content-type": "application/x-www-form-urlencoded"}, WrongContentType),
        ({"content-type": "multipart/form-data"}, MalformedUpload),
        ({"content-type": "multipart/form-data; boundary=" + "x" * 71}, MalformedUpload),
        (HEADERS | {"content-length": "10000000"}, UploadTooLarge),
    ],
)
def test_bad_headers_are_refused(tmp_path: Path, headers: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        receive(part("file", b"a", "f") + END, tmp_path, headers=headers)


def test_a_form_may_lack_its_file_and_asking_for_it_says_so(tmp_path: Path) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        yield END

    async def run() -> None:
        async with receive_form(nothing(), HEADERS, shape=SHAPE, limits=LIMITS, folder=tmp_path) as form:
            form.file("file")

    with pytest.raises(FieldRefused, match="/file: missing"):
        anyio.run(run)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, mode: str) -> Callable[[bytes], int]:
        os.close(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(app.uploads.os, "fdopen", full)
    with pytest.raises(StorageFull):
        receive(part("file", b"a", "f") + END, tmp_path)


def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield part("file", b"a" * 500, "f")[:200]
        raise ConnectionResetError

    async def run() -> None:
        async with receive_form(broken(), HEADERS, shape=SHAPE, limits=LIMITS, folder=tmp_path):
            pass

    with pytest.raises(ConnectionResetError):
        anyio.run(run)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_body_is_read_on_so_that_the_client_sees_the_answer(tmp_path: Path) -> None:
    taken = []

    async def stream() -> AsyncIterator[bytes]:
        for chunk in (part("other", b"a"), b"x" * 10, b"y" * 10):
            taken.append(len(chunk))
            yield chunk

    async def run() -> None:
        async with receive_form(stream(), HEADERS, shape=SHAPE, limits=LIMITS, folder=tmp_path):
            pass

    with pytest.raises(FieldRefused):
        anyio.run(run)
    assert len(taken) == 3


@given(body=st.binary(max_size=400))
def test_no_bytes_at_all_can_raise_anything_but_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    folder = tmp_path_factory.mktemp("uploads")
    for text in (body, b"--XX\r\n" + body, part("name", body) + END, part("file", b"", "f")[:-4] + body + END):
        with suppress(UploadError):
            receive(text, folder, chunk=50)


def test_nothing_here_asks_for_the_whole_body() -> None:
    source = Path(app.uploads.__file__).read_text()
    assert ".body(" not in source
    assert ".form(" not in source


def test_a_large_file_is_streamed_in_constant_memory(tmp_path: Path) -> None:
    chunk, chunks = bytes(1 << 20), 64

    async def stream() -> AsyncIterator[bytes]:
        yield b'--XX\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(chunks):
            yield chunk
        yield b"\r\n" + END

    async def run() -> int:
        limits = UploadLimits(max_file_bytes=chunks << 20, max_field_bytes=1000)
        async with receive_form(stream(), HEADERS, shape=SHAPE, limits=limits, folder=tmp_path) as form:
            return form.file("file").bytes

    tracemalloc.start()
    try:
        assert anyio.run(run) == chunks << 20
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
