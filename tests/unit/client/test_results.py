"""The types of the client's answers have the fields that the API's own description has, with the same types."""

import types
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from app.client import results
from app.main import create_app
from app.settings import Settings

OTHERWISE = {
    "CheckpointFile": "FileOut",
    "DatasetReport": "ReportOut",
    "UniformFigures": "UniformOut",
    **{name: name for name in ("CommonSize", "Sizes", "Unreadable", "Duplicates", "Thumbnails")},
}
"""Where the description's name is not ours with `Out` behind it."""
TYPES = {name: each for name, each in vars(results).items() if is_typeddict(each)}
PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    api = create_app(Settings(data_dir=tmp_path_factory.mktemp("service")))
    described: dict[str, Any] = api.openapi()["components"]["schemas"]
    return described


@pytest.mark.parametrize("name", sorted(TYPES))
def test_a_type_has_the_fields_of_the_description(name: str, schemas: dict[str, Any]) -> None:
    described = OTHERWISE.get(name, f"{name}Out")
    found = next(
        schema for key, schema in schemas.items() if key == described or key.endswith(f"jobs__schemas__{described}")
    )
    hints = get_type_hints(TYPES[name])
    if name == "Event":  # of a stream, where `progress` has none
        hints["id"] = int
    assert set(hints) == set(found["properties"])
    for field, hint in hints.items():
        assert kinds_of(hint) == kinds_described(found["properties"][field], schemas), f"{name}.{field}"


def kinds_of(hint: Any) -> set[str]:
    if hint is Any:
        return set()
    if get_origin(hint) in (Union, types.UnionType):
        return set().union(*(kinds_of(each) for each in get_args(hint)))
    if get_origin(hint) is list:
        return {"array"}
    if get_origin(hint) is dict or is_typeddict(hint):
        return {"object"}
    return {PLAIN[hint]}


def kinds_described(schema: dict[str, Any], schemas: dict[str, Any]) -> set[str]:
    if "$ref" in schema:
        return kinds_described(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return set().union(*(kinds_described(each, schemas) for each in schema["anyOf"]))
    return {schema["type"]}
