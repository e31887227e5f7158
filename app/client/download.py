"""A checkpoint to a file: streamed beside it, its sha256 checked, then moved into place."""

import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO

import httpx

from app.client.connection import ATTEMPTS, Connection
from app.client.errors import NetAdaptError, ServiceUnreachable, UnexpectedAnswer

SHA256 = re.compile(r"\b[0-9a-f]{64}\b")


def download_checkpoint(connection: Connection, path: str, file: Path, *, format: str) -> Path:  # noqa: A002
    """Writes to `<file>.part` and renames. A transfer that breaks starts again, three times in all.

    Raises UnexpectedAnswer when what arrived is not what the ETag names; `file` is then as it was.
    """
    if file.is_dir():
        raise NetAdaptError({"title": "Not a file", "detail": f"{file}: is a folder; name the file to write"})
    part = file.with_name(file.name + ".part")
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with (
                    part.open("wb") as stream,
                    connection.stream(path, headers={"Accept": "*/*"}, params={"format": format}) as response,
                ):
                    _receive(response, stream)
                break
            except ServiceUnreachable:
                if attempt == ATTEMPTS:
                    raise
                connection.pause(attempt)
        os.replace(part, file)
    except OSError as error:
        raise NetAdaptError({"title": "Cannot write", "detail": f"{file}: {error.strerror}"}) from error
    finally:
        part.unlink(missing_ok=True)
    return file


def _receive(response: httpx.Response, stream: BinaryIO) -> None:
    named = SHA256.search(response.headers.get("ETag", ""))
    if named is None:
        raise UnexpectedAnswer({"title": "Unexpected answer", "detail": "the download names no sha256 in its ETag"})
    digest = hashlib.sha256()
    for chunk in response.iter_bytes():
        digest.update(chunk)
        stream.write(chunk)
    if digest.hexdigest() != named[0]:
        detail = f"the file arrived damaged: sha256 {digest.hexdigest()}, the service names {named[0]}"
        raise UnexpectedAnswer({"title": "Damaged file", "detail": detail})
