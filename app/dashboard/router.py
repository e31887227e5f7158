"""`/`: the dashboard, plain files that a browser runs as they are: a client of the public API and nothing more."""

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.file_answers import names_etag

PREFIX = "/dashboard"
# Our own origin alone. No inline script and no inline style: what the page sets, it sets through the DOM. img-src: the
# thumbnails of data sets; connect-src: the API and its event stream.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
def page(request: Request) -> Response:
    return _file(request, "index.html")


@router.get(PREFIX + "/{path:path}")
def asset(path: str, request: Request) -> Response:
    return _file(request, path)


def _file(request: Request, path: str) -> Response:
    """Kept by the browser and asked for each time, so that an upgrade is seen at once."""
    if path not in names():
        raise HTTPException(404)
    body, digest = _content(path)
    etag = f'"{digest}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if path.endswith(".html"):
        headers["Content-Security-Policy"] = POLICY
    if names_etag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=MEDIA_TYPES[PurePosixPath(path).suffix])


@cache
def names() -> frozenset[str]:
    """What may be asked for: nothing but these is ever opened."""
    folder = files("app.dashboard").joinpath("static")
    parts = {"": folder, "vendor/": folder.joinpath("vendor")}
    found = (f"{prefix}{file.name}" for prefix, part in parts.items() for file in part.iterdir() if file.is_file())
    return frozenset(name for name in found if PurePosixPath(name).suffix in MEDIA_TYPES)


@cache
def _content(path: str) -> tuple[bytes, str]:
    body = files("app.dashboard").joinpath("static", *path.split("/")).read_bytes()
    return body, hashlib.sha256(body).hexdigest()
