"""Between a POST and its answer: the Idempotency-Key of the one, the JSON response of the other."""

from typing import Annotated, Any

from fastapi import Header, Request
from starlette.responses import JSONResponse

from app.idempotency import Answer, KeyedRequest, hash_content
from app.records import Caller

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key and content give the first answer again, for a day.",
        json_schema_extra={"minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    ),
]


def keyed_request(request: Request, caller: Caller, key: str | None, **content: Any) -> KeyedRequest | None:
    """None without a key. `content` is everything that the request says, as JSON values; files by their sha256."""
    if key is None:
        return None
    content_hash = hash_content(query=str(request.url.query), **content)
    return KeyedRequest(caller=caller, method=request.method, path=request.url.path, key=key, content_hash=content_hash)


def json_response(answer: Answer) -> JSONResponse:
    return JSONResponse(answer.document, answer.status, headers=dict(answer.headers))
