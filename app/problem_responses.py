"""Errors as HTTP answers: application/problem+json for everything, an unforeseen fault included."""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Match
from structlog.contextvars import get_contextvars

from app.database import DATABASE_AWAY, DatabaseError, is_full
from app.json_body import faults
from app.problem_documents import problem_document
from app.problems import BY_STATUS, INVALID, MALFORMED, PROBLEMS, Problem, headers_of, problem_of
from app.storage import StorageFull

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = "5"


class ProblemResponse(JSONResponse):
    """What a request said may stand in it, so it is harmless even where somebody takes it for a page."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        text = bytes(super().render(content))
        return text.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")


def problem_response(
    problem: Problem, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> JSONResponse:
    """`members` are those that this kind of problem has beside the usual ones."""
    document = problem_document(problem.slug, problem.title, problem.status, detail) | members
    return _response(document, headers)


def add_problem_handlers(app: FastAPI) -> None:
    """Every error of the table, and the framework's own ones. What nobody foresaw: app/request_log.py."""
    for kind in PROBLEMS:
        app.add_exception_handler(kind, _foreseen)
    app.add_exception_handler(HTTPException, _of_the_framework)
    app.add_exception_handler(RequestValidationError, _invalid_parameters)
    for kind in DATABASE_AWAY:
        app.add_exception_handler(kind, _database_away)
    app.add_exception_handler(ClientDisconnect, _client_gone)


def _response(document: dict[str, Any], headers: Mapping[str, str] | None = None) -> JSONResponse:
    if (request_id := get_contextvars().get("request_id")) is not None:
        document = document | {"request_id": request_id}  # for whoever asks us what went wrong
    all_headers = dict(headers or {})
    if document["status"] == 401:
        all_headers["WWW-Authenticate"] = "Bearer"
    if document["status"] == 503:
        all_headers.setdefault("Retry-After", RETRY_AFTER_S)
    return ProblemResponse(document, document["status"], headers=all_headers)


async def _foreseen(_request: Request, error: Exception) -> JSONResponse:
    document = problem_of(error)
    if document["status"] >= 500:
        log.error("answered %s", document["type"], exc_info=error)
    return _response(document, headers_of(error))


async def _of_the_framework(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise TypeError(f"registered for HTTPException, got {type(error).__name__}")
    problem = BY_STATUS.get(error.status_code, Problem(error.status_code, "http-error", "The request failed"))
    detail = f"{request.method} {request.url.path}: {error.detail}"
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return problem_response(problem, detail, headers)


def _allowed(request: Request) -> str:
    """What may be done with this path; the framework names the methods of one of its routes alone."""
    every = iter_route_contexts(request.app.routes)  # `routes` holds routers as a whole, which have no methods
    routes = [route for route in every if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in routes for method in route.methods or ()}))


async def _invalid_parameters(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise TypeError(f"registered for RequestValidationError, got {type(error).__name__}")
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return problem_response(MALFORMED, "the body is not JSON")
    fields = []
    for each in found:
        where, *rest = each["loc"]
        (fault,) = faults([{**each, "loc": rest}])
        if where in {"query", "path"}:
            fault = {"parameter": ".".join(map(str, rest)), "detail": fault["detail"]}
        elif where in {"header", "cookie"}:
            fault = {"header": ".".join(map(str, rest)), "detail": fault["detail"]}
        fields.append(fault)
    detail = "; ".join(f"{next(iter(field.values()))}: {field['detail']}" for field in fields[:5])
    return _response(problem_document(INVALID.slug, INVALID.title, INVALID.status, detail, errors=fields))


async def _database_away(_request: Request, error: Exception) -> JSONResponse:
    log.error("the database did not answer: %s", " ".join(str(getattr(error, "orig", error)).split()))
    if is_full(error):
        return _response(problem_of(StorageFull()))
    return problem_response(PROBLEMS[DatabaseError], "the database does not answer; try again in a moment")


async def _client_gone(request: Request, _error: Exception) -> JSONResponse:
    # Nobody reads this; without it every upload that is broken off would be a fault of ours in the log.
    log.info("%s %s: the client went away in the middle of its request", request.method, request.url.path)
    return problem_response(MALFORMED, "the connection ended in the middle of the request")
