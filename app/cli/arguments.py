"""What the user typed, as the API wants it: budgets and settings. Wrong usage is a click usage error (exit 2)."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import typer

Number = float | int


def budget_of(latency_ms: str | None, budgets: Sequence[str]) -> dict[str, float | str]:
    """`--latency-ms 8` and `--budget params=50%` as the request's budget; the service judges the values."""
    pairs = [_pair(text, "--budget") for text in budgets]
    if latency_ms is not None:
        pairs.insert(0, ("latency_ms", latency_ms))
    if not pairs:
        raise typer.BadParameter("give --latency-ms or --budget RESOURCE=VALUE", param_hint="--budget")
    _refuse_twice([key for key, _ in pairs], "--budget")
    return {key: _budget_value(key, value) for key, value in pairs}


def settings_of(preset: str | None, assignments: Sequence[str]) -> dict[str, Any]:
    """`--set schedule.initial=0.05` as `{"schedule": {"initial": 0.05}}`: values are JSON, or else plain text."""
    settings: dict[str, Any] = {} if preset is None else {"preset": preset}
    pairs = [_pair(text, "--set") for text in assignments]
    _refuse_twice([*settings, *(key for key, _ in pairs)], "--set")
    for key, text in pairs:
        _put(settings, key, _json_or_text(text))
    return settings


def pairs_of(texts: Sequence[str], option: str) -> dict[str, str]:
    """`KEY=VALUE` given several times."""
    pairs = [_pair(text, option) for text in texts]
    _refuse_twice([key for key, _ in pairs], option)
    return dict(pairs)


def limits_of(text: str, option: str) -> list[Any]:
    """`6,50%,params=2e6`: bare limits, and budgets by their resource."""
    return [budget_of(None, [part]) if "=" in part else _budget_value("a limit", part) for part in _parts(text, option)]


def numbers_of(text: str, option: str) -> list[int]:
    """`2,4,7`."""
    try:
        return [int(part) for part in _parts(text, option)]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of whole numbers, as 2,4,7", param_hint=option) from None


def _parts(text: str, option: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise typer.BadParameter(f"{text!r} has an empty place", param_hint=option)
    return parts


def _pair(text: str, option: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (equals and key.strip() and value.strip()):
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint=option)
    return key.strip(), value.strip()


def _refuse_twice(keys: Iterable[str], option: str) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise typer.BadParameter(f"{key} is given twice", param_hint=option)
        seen.add(key)


def _budget_value(key: str, text: str) -> float | str:
    number = text.removesuffix("%").strip()
    try:
        value = float(number)
    except ValueError:
        raise typer.BadParameter(f"{key}: {text!r} is neither a number nor NN%", param_hint="--budget") from None
    if not abs(value) < float("inf"):
        raise typer.BadParameter(f"{key}: {text!r} is no finite number", param_hint="--budget")
    return f"{number}%" if text.endswith("%") else value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError:
        return text


def _refuse_constant(name: str) -> None:
    raise typer.BadParameter(f"{name} is no finite number", param_hint="--set")


def _put(settings: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    place = settings
    for parent in parents:
        inner = place.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise typer.BadParameter(f"{dotted}: {parent} has a value of its own already", param_hint="--set")
        place = inner
    if last in place:
        raise typer.BadParameter(f"{dotted} is given twice", param_hint="--set")
    place[last] = value
