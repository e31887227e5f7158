"""What FastAPI cannot know of our answers: problems everywhere, and bodies that we read ourselves."""

import re
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from app.problem_responses import MEDIA_TYPE
from app.problems import BY_STATUS, PROBLEMS

_REFS = "#/components/schemas/{model}"
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457. `errors` name the fields at fault.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:netadapt:problem:not-found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string", "description": "As in the header X-Request-ID and in the service's log."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {name: {"type": "string"} for name in ("pointer", "parameter", "header", "detail")},
            },
        },
    },
}


def _text_header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


_HEADERS: dict[str | int, dict[str, Any]] = {
    "201": {"Location": _text_header("The new resource's path.")},
    401: {"WWW-Authenticate": _text_header("How to sign in: Bearer.")},
    429: {"Retry-After": _text_header("Seconds to wait.")},
    503: {"Retry-After": _text_header("Seconds to wait, where it is known.")},
}


def json_body(model: type[BaseModel], **others: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body itself; `others` are further media types with their schemas."""
    content = {"application/json": {"schema": model.model_json_schema(ref_template=_REFS)}}
    content |= {kind.replace("_", "/", 1).replace("_", "-"): {"schema": schema} for kind, schema in others.items()}
    return {"requestBody": {"required": True, "content": content}}


def finish_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Moves the definitions of our own bodies to the components, and says in which problems each request may end."""
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    components["Problem"] = _PROBLEM
    named = schema["components"]["responses"] = {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                components.update(media["schema"].pop("$defs", {}))
            for status in _problems(path, method, operation):
                named[f"Problem{status}"] = _problem_response(status)
                operation["responses"][str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
            operation["responses"]["default"] = {**_problem_content(), "description": "Any other problem."}
            for status, response in operation["responses"].items():
                if status in _HEADERS:
                    response["headers"] = {**_HEADERS[status], **response.get("headers", {})}
            if operation.get("security"):  # on loopback, as long as there are no tokens, nobody needs one
                operation["security"] = [{}, *operation["security"]]
    _link(schema["paths"])
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)
    return schema


def _link(paths: dict[str, Any]) -> None:
    """From the answer that makes a resource to all that can be done with it: its id is a parameter of those paths."""
    for path, operations in paths.items():
        made = operations.get("post", {}).get("responses", {})
        for status in made.keys() & {"201", "202"}:
            links = made[status].setdefault("links", {})
            for below, others in paths.items():
                if match := re.match(rf"{re.escape(path)}/{{(\w+)}}", below):
                    for operation in others.values():
                        name, parameters = operation["operationId"], {match[1]: "$response.body#/id"}
                        links[name] = {"operationId": name, "parameters": parameters}


def _problems(path: str, method: str, operation: dict[str, Any]) -> list[int]:
    """The statuses of the problems that a request of this form may end in."""
    takes_body, belongs_to_somebody = "requestBody" in operation, "security" in operation
    found = {
        400: True,  # an address that holds a token, or characters that none of ours has
        401: belongs_to_somebody or takes_body,
        403: True,  # another Host, another site's page, another role
        404: "{" in path or (takes_body and belongs_to_somebody),  # also what the body refers to
        408: takes_body,
        409: method in {"post", "put", "delete"},
        413: takes_body,
        414: True,
        415: takes_body,
        416: "206" in operation["responses"],
        422: takes_body or "parameters" in operation,
        429: True,
        431: True,
        503: True,
    }
    return [status for status, may_be in found.items() if may_be]


def _problem_response(status: int) -> dict[str, Any]:
    slugs = sorted({f"`{kind.slug}`" for kind in (*PROBLEMS.values(), *BY_STATUS.values()) if kind.status == status})
    title = BY_STATUS[status].title if status in BY_STATUS else HTTPStatus(status).phrase
    response = {"description": f"{title}: {', '.join(slugs)}" if slugs else title}
    headers = {"headers": _HEADERS[status]} if status in _HEADERS else {}
    return response | headers | ({} if status == 416 else _problem_content())  # a range that is not there has no body


def _problem_content() -> dict[str, Any]:
    return {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
