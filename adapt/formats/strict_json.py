"""JSON from strangers: parsed within limits, and read member by member with the place named in every refusal."""

import json
import math
from typing import Any, TypeVar

from adapt.errors import NetworkRefused

MAX_JSON_BYTES = 32 << 20
_DEPTH = 64

T = TypeVar("T")


def parse_object(data: bytes | str, where: str) -> dict[str, Any]:
    """One JSON object. Raises NetworkRefused: not UTF-8 JSON, NaN, a key given twice, too deep, too large."""
    if len(data) > MAX_JSON_BYTES:
        raise NetworkRefused(where, f"is larger than {MAX_JSON_BYTES >> 20} MiB")
    try:
        text = data.decode() if isinstance(data, bytes) else data
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError as error:
        raise NetworkRefused(where, "is nested too deeply") from error
    except (ValueError, OverflowError) as error:  # JSONDecodeError, UnicodeDecodeError, endless integers
        raise NetworkRefused(where, f"is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise NetworkRefused(where, "must hold a JSON object")
    _check_depth(document, where)
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key is given twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _check_depth(document: Any, where: str) -> None:
    level = [document]
    for _ in range(_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise NetworkRefused(where, f"is nested more than {_DEPTH} levels deep")


def member(parent: Any, key: str, kind: type[T], where: str) -> T:
    """`parent[key]`, which must be there and exactly of that type (true is no integer)."""
    if not isinstance(parent, dict) or key not in parent:
        raise NetworkRefused(where, f"{key!r} is missing")
    return of_type(parent[key], kind, f"{where}: {key}")


def of_type(value: Any, kind: type[T], where: str) -> T:
    if type(value) is not kind:
        raise NetworkRefused(where, f"must be of type {kind.__name__}, is {type(value).__name__}")
    return value


def only_member(parent: Any, where: str) -> tuple[str, Any]:
    """The tag and value of a union such as {"as_int": 3}."""
    if not isinstance(parent, dict) or len(parent) != 1:
        raise NetworkRefused(where, "must be an object with exactly one member")
    return next(iter(parent.items()))
