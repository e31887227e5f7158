"""`/docs`: the API's description as a page. Script and styles come from an installed package, never from elsewhere.

fastapi-offline carries swagger-ui's files as they are released; only the files are used.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Literal

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

PATH = "/docs"
OPENAPI_PATH = "/openapi.json"
# Our own origin alone, and of that only what the page is made of. No inline script: the one that starts it is a file.
# Not even styles: swagger-ui (5.32) sets what it sets from its script. img-src: the icons in its styles are data: URLs.
# connect-src: it reads openapi.json, and "try it out" sends requests here.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>NetAdapt Service: API</title>
<link rel="icon" href="{PATH}/favicon.png">
<link rel="stylesheet" href="{PATH}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{PATH}/swagger-ui-bundle.js"></script>
<script src="{PATH}/start.js"></script>
</body>
</html>
"""
_START = (
    f"SwaggerUIBundle({{url: {json.dumps(OPENAPI_PATH)}, dom_id: '#swagger-ui', deepLinking: true, "
    "validatorUrl: null, "  # which would show this address to a service elsewhere
    "presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset]});\n"
)
_MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "png": "image/png"}

router = APIRouter(prefix=PATH, include_in_schema=False)


@router.get("")
def page() -> HTMLResponse:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": POLICY})


@router.get("/start.js")
def start() -> Response:
    return Response(_START, media_type=_MEDIA_TYPES["js"])


@router.get("/{name}")
def asset(name: Literal["swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"]) -> Response:
    # Of the installed version, so a browser may keep it for a while; it is nobody's secret.
    headers = {"Cache-Control": "public, max-age=3600"}
    return Response(_content(name), media_type=_MEDIA_TYPES[name.rpartition(".")[2]], headers=headers)


@cache
def _content(name: str) -> bytes:
    return files("fastapi_offline").joinpath("static", name).read_bytes()
