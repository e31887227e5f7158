"""What FastAPI cannot know of our answers: problems everywhere, and bodies that we read ourselves."""

from typing import Any

from pydantic import BaseModel

from app.problem_responses import MEDIA_TYPE

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


def json_body(model: type[BaseModel], **others: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body itself; `others` are further media types with their schemas."""
    content = {"application/json": {"schema": model.model_json_schema(ref_template=_REFS)}}
    content |= {kind.replace("_", "/", 1).replace("_", "-"): {"schema": schema} for kind, schema in others.items()}
    return {"requestBody": {"required": True, "content": content}}


def finish_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Moves the definitions of our own bodies to the components, and says that any request may end in a problem."""
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    components["Problem"] = _PROBLEM
    problem = {"description": "Problem", "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for path in schema["paths"].values():
        for operation in path.values():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                components.update(media["schema"].pop("$defs", {}))
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = problem
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)
    schemes = schema["components"].setdefault("securitySchemes", {})
    schemes["bearer"] = {"type": "http", "scheme": "bearer"}
    schema["security"] = [{}, {"bearer": []}]
    return schema
