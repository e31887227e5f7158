"""Stored files over HTTP: whole or a range, with their sha256 as ETag (RFC 9110, sections 13 and 14)."""

import re

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.storage import BlobMissing, Storage

MEDIA_TYPE = "application/octet-stream"
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


def file_response(request: Request, storage: Storage, *, sha256: str, size: int, filename: str) -> Response:
    """Answers If-None-Match, Range and If-Range. Several ranges at once get the whole file, as the RFC allows.

    Raises BlobMissing before anything is sent.
    """
    etag = f'"{sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",  # may be kept, but asked for: whoever asks must be allowed to
        "Content-Disposition": f'attachment; filename="{filename}"',
        "X-Content-Type-Options": "nosniff",
    }
    if names_etag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    if not storage.exists(sha256):
        raise BlobMissing(sha256)
    asked = request.headers.get("range")
    changed = request.headers.get("if-range", etag) != etag
    span = None if asked is None or changed else _span(asked, size)
    if span == (0, 0):
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    start, end = span or (0, size)
    headers["Content-Length"] = str(end - start)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 200 if span is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=MEDIA_TYPE)
    return StreamingResponse(storage.open_range(sha256, start, end), status, headers=headers, media_type=MEDIA_TYPE)


def names_etag(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names this ETag, quotes included."""
    if header is None:
        return False
    given = [part.strip().removeprefix("W/") for part in header.split(",")]
    return "*" in given or etag in given


def _span(asked: str, size: int) -> tuple[int, int] | None:
    """[start, end) of a range; None for one that is not understood, (0, 0) for one beyond the file."""
    match = _RANGE.fullmatch(asked.replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), size if last == "" else min(int(last) + 1, size)
        if last != "" and int(last) < start:
            return None
    return (start, end) if start < end else (0, 0)
