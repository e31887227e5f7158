"""A JSON schema in words, and tables of Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]
WORDS = {"string": "text", "boolean": "`true` or `false`", "null": "null", "object": "an object", "array": "a list"}


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines) + "\n"


def in_words(schema: Schema) -> str:
    """`a whole number from 1 to 64`, `` `a`, `b` or null ``, `a list of JobOut`."""
    if "$ref" in schema:
        return _link(str(schema["$ref"]).rpartition("/")[2])
    if kinds := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(map(in_words, kinds)))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") in {"integer", "number"}:
        return ("a whole number" if schema["type"] == "integer" else "a number") + _bounds(schema)
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        return f"a list of {in_words(schema['items'])}"
    if isinstance(values := schema.get("additionalProperties"), Mapping):
        return f"an object, by name {in_words(values)}"
    kind = schema.get("type", "anything")
    return " or ".join(WORDS.get(each, str(each)) for each in (kind if isinstance(kind, list) else [kind]))


def without_null(schema: Schema) -> Schema:
    """Of a setting, null is as good as left out."""
    if "anyOf" not in schema:
        return schema
    return {**schema, "anyOf": [kind for kind in schema["anyOf"] if kind.get("type") != "null"]}


def fields_table(schema: Schema) -> str:
    """Of an object: what each of its fields holds."""
    fields = schema.get("properties", {})
    return table(
        ["field", "holds", ""], [(f"`{name}`", in_words(each), _meaning(each)) for name, each in fields.items()]
    )


def _meaning(field: Schema) -> str:
    default = field.get("default")
    said = str(field.get("description", ""))
    return said if default is None else f"{said} Default `{default}`.".strip()


def _bounds(schema: Schema) -> str:
    lower, upper = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    parts = [
        None if above is None else f"above {_number(above)}",
        None if lower is None else f"from {_number(lower)}",
        None if upper is None else f"to {_number(upper)}",
        None if below is None else f"below {_number(below)}",
    ]
    return "".join(f" {part}" for part in parts if part)


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _link(name: str) -> str:
    return f"[{name}](rest.md#{name.lower()})"


def _cell(value: object) -> str:
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")
