"""The tables of docs/rest.md, from the same OpenAPI document that the service serves."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.main import create_app
from app.settings import Settings
from docs.json_schema import fields_table, in_words, table

Document = Mapping[str, Any]
REQUESTS = ("get", "post", "put", "delete")


def openapi() -> Document:
    """As `/openapi.json` of a service with default settings has it."""
    with tempfile.TemporaryDirectory() as folder:
        document: Document = create_app(Settings(data_dir=Path(folder))).openapi()
    return document


def rest_reference() -> str:
    document = openapi()
    schemas = document["components"]["schemas"]
    paths = [section for path, operations in document["paths"].items() for section in _path(path, operations)]
    objects = [
        f"### {name}\n\n{schema.get('description', '')}\n\n{fields_table(schema) if schema.get('properties') else ''}"
        for name, schema in sorted(schemas.items(), key=lambda each: each[0].lower())
    ]
    return "\n\n".join(["## Requests", *paths, "## Objects", *objects])


def _path(path: str, operations: Document) -> Iterator[str]:
    for method in REQUESTS:
        if operation := operations.get(method):
            parts = [operation.get("description", ""), _parameters(operation), _body(operation), _answers(operation)]
            yield "\n\n".join([f"### {method.upper()} {path}", *(part for part in parts if part)])


def _parameters(operation: Document) -> str:
    found = operation.get("parameters", [])
    rows = [
        (f"`{each['name']}`", each["in"], in_words(each["schema"]), each.get("description"))
        for each in found
        if each["in"] != "path"
    ]
    return table(["parameter", "in", "values", ""], rows) if rows else ""


def _body(operation: Document) -> str:
    """What it takes, by media type; a form with its fields."""
    content = operation.get("requestBody", {}).get("content", {})
    parts = [
        f"Takes `{kind}`: {_named(each['schema'])}\n\n{_form(each['schema'])}".strip() for kind, each in content.items()
    ]
    return "\n\n".join(parts)


def _named(schema: Document) -> str:
    return str(schema["title"]) if "properties" in schema and "title" in schema else in_words(schema)


def _form(schema: Document) -> str:
    return fields_table(schema) if schema.get("properties") else ""


def _answers(operation: Document) -> str:
    rows = []
    for status, answer in operation["responses"].items():
        kinds = answer.get("content", {})
        if status.startswith("2"):
            held = "; ".join(f"`{kind}`: {in_words(each.get('schema', {}))}" for kind, each in kinds.items())
            rows.append((status, held or "nothing"))
    problems = [status for status in operation["responses"] if status[0] in "45"]
    if problems:
        rows.append((", ".join(sorted(problems)), "[Problem](rest.md#problem), by [its slug](problems.md)"))
    return table(["status", "answer"], rows)
