"""Mutations of JSON documents: values of another type or size, keys that go or come twice, text that is no JSON."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

_RAW = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "-0", "1E400", "0.1e-400", "01", "'a'", "nul"),
    *('"\\ud800"', '"\\udfff"', '"\\u0000"', '"\\ud83d"', "9" * 5000, "-" + "9" * 400, "1" * 20 + ".5"),
    *("[" * 3000 + "]" * 3000, "[" * 100 + "]" * 100, '{"a":' * 500 + "1" + "}" * 500, "[" * 50_000),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 255, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1),
    *(10**40, 0.5, -0.5, 1e-320, 1e308, 3.0, "", "a", "\0", "\ud800", "é", "😀", "\u202e", "../../etc/passwd"),
    *("/dev/zero", "__class__", "=1+1", "x" * 5000, "a.b.c", " ", "\n", "<script>", "%s%n", "{}", "None"),
    *([], {}, [[]], [{}], [1] * 300, [0], [-1, -1], {"": None}, {"as_int": 1}, {"as_expr": {"expr_str": "9**9**9"}}),
    *({"as_tensor": {"name": "x"}}, {"as_none": True}, {"as_tensors": []}, {"as_sym_int": {"as_name": "s0"}}),
    *({"as_ints": [0, 0]}, {"as_ints": [2**62]}, {"as_float": 1e308}, {"as_bool": True}, {"as_string": "same"}),
)


def mutated_document(document: Any, rng: Random) -> bytes:
    """The document as JSON, or nearly so, after one to four changes. `document` is changed in place."""
    raws: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        document = _changed(document, rng, raws)
    text = json.dumps(document)
    for number, raw in enumerate(raws):
        text = text.replace(json.dumps(_mark(number)), raw)
    return text.encode("utf-8", "surrogatepass")


def _mark(number: int) -> str:
    return f"@raw {number}@"


def _changed(document: Any, rng: Random, raws: list[str]) -> Any:
    places = [*_places(document)]
    if not places or rng.random() < 0.01:
        return _odd(rng, raws)
    parent, key = rng.choice(places)
    rng.choice(_STEPS)(parent, key, rng, raws, places)
    return document


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) of the document."""
    found: list[tuple[Any, Any]] = []
    level = [document] if isinstance(document, (dict, list)) else []
    while level:
        parent = level.pop()
        for key, value in parent.items() if isinstance(parent, dict) else enumerate(parent):
            found.append((parent, key))
            if isinstance(value, (dict, list)):
                level.append(value)
    return found


def _odd(rng: Random, raws: list[str]) -> Any:
    if rng.random() < 0.25:
        raws.append(rng.choice(_RAW))
        return _mark(len(raws) - 1)
    value = rng.choice(_VALUES)
    return json.loads(json.dumps(value)) if isinstance(value, (dict, list)) else value  # its own, to be changed again


def _near(value: Any, rng: Random) -> Any:
    """The value, a little off, in its own type."""
    match value:
        case bool():
            return not value
        case int():
            return rng.choice((value + 1, value - 1, -value, 2 * value, value << 20, float(value), 0))
        case float():
            return rng.choice((-value, 2 * value, value / 3, int(value) if abs(value) < 1e300 else 0, 0.0))
        case str():
            at = rng.randint(0, len(value))
            return rng.choice(
                (value[:at], value[at:], value * 2, f"{value[:at]}\0{value[at:]}", f"{value}_1", "." + value)
            )
        case list():
            return rng.choice((value[::-1], value * 2, value[:1], value[1:], value[:1] * 200, [value], [*value, None]))
        case dict():
            return rng.choice(
                (list(value), dict(list(value.items())[1:]), {"a": value}, dict(list(value.items())[::-1]))
            )
    return 0


def _replace(parent: Any, key: Any, rng: Random, raws: list[str], _places: list[tuple[Any, Any]]) -> None:
    parent[key] = _odd(rng, raws)


def _shift(parent: Any, key: Any, rng: Random, _raws: list[str], _places: list[tuple[Any, Any]]) -> None:
    parent[key] = _near(parent[key], rng)


def _remove(parent: Any, key: Any, _rng: Random, _raws: list[str], _places: list[tuple[Any, Any]]) -> None:
    del parent[key]


def _swap(parent: Any, key: Any, rng: Random, _raws: list[str], places: list[tuple[Any, Any]]) -> None:
    """Takes over a copy of what stands at another place."""
    other, at = rng.choice(places)
    parent[key] = json.loads(json.dumps(other[at]))


def _same_key(parent: Any, key: Any, rng: Random, _raws: list[str], places: list[tuple[Any, Any]]) -> None:
    """As `_swap`, from a place of the same name: another argument, another name of a value."""
    alike = [(other, at) for other, at in places if at == key and type(other[at]) is type(parent[key])]
    other, at = rng.choice(alike)
    parent[key] = json.loads(json.dumps(other[at]))


def _rename(parent: Any, key: Any, rng: Random, _raws: list[str], places: list[tuple[Any, Any]]) -> None:
    if isinstance(parent, dict):
        name = rng.choice([at for _, at in places if isinstance(at, str)] + ["", "\0", "\ud800", "__proto__"])
        parent[name] = parent.pop(key)


def _twice(parent: Any, key: Any, rng: Random, raws: list[str], _places: list[tuple[Any, Any]]) -> None:
    """An element once more; a key twice in one object."""
    if isinstance(parent, list):
        parent.insert(rng.randint(0, len(parent)), json.loads(json.dumps(parent[key])))
    else:
        raws.append(f"{json.dumps(parent[key])}, {json.dumps(key)}: {json.dumps(parent[key])}")
        parent[key] = _mark(len(raws) - 1)


_Step = Callable[[Any, Any, Random, list[str], list[tuple[Any, Any]]], None]
_STEPS: tuple[_Step, ...] = (_replace, _replace, _shift, _shift, _remove, _swap, _same_key, _same_key, _rename, _twice)
