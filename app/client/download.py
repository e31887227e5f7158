"""A checkpoint to a file: streamed beside it, gone on with where it broke, its sha256 checked, moved into place."""

import hashlib
import os
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from app.client.calls import Call, Nap, Open, Read, Work
from app.client.errors import NetAdaptError, ServiceUnreachable, UnexpectedAnswer
from app.client.exchange import ATTEMPTS, pause_s, refuse

SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
PIECE_BYTES = 1 << 20


def download_checkpoint(path: str, file: Path, *, format: str) -> Call[Path]:  # noqa: A002
    """What has arrived lies in `<file>.<sha256>.part` until it is whole. A transfer that breaks goes on from there, as
    often as it takes, if each attempt brings something; given up, it is taken up by the next call.

    Raises UnexpectedAnswer when what arrived is not what the ETag names; `file` is then as it was.
    """
    if file.is_dir():
        raise NetAdaptError({"title": "Not a file", "detail": f"{file}: is a folder; name the file to write"})
    try:
        part = yield from _received(path, file, format)
        yield Work(partial(os.replace, part, file))
    except OSError as error:
        raise NetAdaptError({"title": "Cannot write", "detail": f"{file}: {error.strerror}"}) from error
    return file


def write_whole(file: Path, chunks: Iterable[bytes]) -> None:
    """To `<file>.part`, then into place: what breaks off leaves `file` as it was. Raises NetAdaptError."""
    part = file.with_name(file.name + ".part")
    try:
        with part.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
        os.replace(part, file)
    except OSError as error:
        raise NetAdaptError({"title": "Cannot write", "detail": f"{file}: {error.strerror}"}) from error
    finally:
        part.unlink(missing_ok=True)


def _received(path: str, file: Path, format: str) -> Call[Path]:  # noqa: A002
    """The file beside `file` that holds all of it."""
    in_vain = 0
    while True:
        before = _size(_part_of(file))
        try:
            return (yield from _attempt(path, file, format))
        except ServiceUnreachable:
            in_vain = 0 if _size(_part_of(file)) > before else in_vain + 1
            if in_vain >= ATTEMPTS:
                raise
            yield Nap(pause_s(max(in_vain, 1)))


def _attempt(path: str, file: Path, format: str) -> Call[Path]:  # noqa: A002
    begun = _part_of(file)
    response: httpx.Response = yield Open(path=path, headers=_headers(begun), params={"format": format})
    named = SHA256.search(response.headers.get("ETag", ""))
    whole = response.status_code == 416 and begun is not None and named is not None and named[0] == _sha256_of(begun)
    if not whole:
        refuse(response)
    if named is None:
        raise UnexpectedAnswer({"title": "Unexpected answer", "detail": "the download names no sha256 in its ETag"})
    part = file.with_name(f"{file.name}.{named[0]}.part")
    if begun is not None and not (whole or _goes_on(response, begun, part)):
        begun.unlink()
        part.unlink(missing_ok=True)
        begun = None
    digest = yield Work(partial(_digest_of, part))
    with part.open("ab") as stream:
        while not whole and (chunk := (yield Read())) is not None:
            digest.update(chunk)
            yield Work(partial(stream.write, chunk))
    if digest.hexdigest() != named[0]:
        part.unlink()
        if begun is not None:  # what was there may have been spoilt meanwhile
            return (yield from _attempt(path, file, format))
        detail = f"the file arrived damaged: sha256 {digest.hexdigest()}, the service names {named[0]}"
        raise UnexpectedAnswer({"title": "Damaged file", "detail": detail})
    return part


def _headers(begun: Path | None) -> dict[str, str]:
    """The rest of what is begun, if it is the same file still; else all of it."""
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    if begun is None:
        return headers
    return {**headers, "Range": f"bytes={_size(begun)}-", "If-Range": f'"{_sha256_of(begun)}"'}


def _goes_on(response: httpx.Response, begun: Path, part: Path) -> bool:
    """Whether the answer is what is missing in `begun`, and not the whole, or another file."""
    span = response.headers.get("Content-Range", "")
    return response.status_code == 206 and begun == part and span.startswith(f"bytes {_size(begun)}-")


def _part_of(file: Path) -> Path | None:
    """What an earlier attempt left of it, the latest if there are several."""
    name = re.compile(re.escape(file.name) + r"\.[0-9a-f]{64}\.part")
    parts = [each for each in file.absolute().parent.iterdir() if name.fullmatch(each.name)]
    return max(parts, key=lambda each: each.stat().st_mtime, default=None)


def _sha256_of(part: Path) -> str:
    return part.name.split(".")[-2]


def _size(part: Path | None) -> int:
    return 0 if part is None else part.stat().st_size


def _digest_of(part: Path) -> Any:
    """Of what is there already."""
    digest = hashlib.sha256()
    if part.exists():
        with part.open("rb") as stream:
            while piece := stream.read(PIECE_BYTES):
                digest.update(piece)
    return digest
