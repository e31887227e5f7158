"""Figures as a person reads them. What is unknown is a dash, and a prediction is called one."""

from collections.abc import Mapping
from typing import Any

UNKNOWN = "–"
WORDS = {"latency_ms": "latency", "macs": "mult-adds", "params": "parameters", "memory_bytes": "memory"}
_SCALES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    for size, unit in _SCALES:
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:.4g}"


def resource(name: str, value: float | None) -> str:
    if value is None:
        return UNKNOWN
    if name == "latency_ms":
        return f"{value:.4g} ms"
    return f"{count(value)}{'B' if name == 'memory_bytes' else ''}"


def percent(fraction: float | None) -> str:
    return UNKNOWN if fraction is None else f"{100 * fraction:.1f} %"


def latency(known: Mapping[str, Any] | None) -> str:
    if known is None or (known["measured"] is None and known["predicted"] is None):
        return UNKNOWN
    if known["measured"] is None:
        return f"{known['predicted']:.4g} ms (predicted)"
    interval = "" if known["low"] is None else f" ({known['low']:.4g} to {known['high']:.4g})"
    return f"{known['measured']:.4g} ms{interval}"


def budget(asked: Mapping[str, Any], limits: Mapping[str, float] | None) -> str:
    parts = []
    for name, value in asked.items():
        said = value if isinstance(value, str) else resource(name, value)
        absolute = (limits or {}).get(name)
        parts.append(
            f"{WORDS[name]} {said}"
            + (f" ({resource(name, absolute)})" if isinstance(value, str) and absolute is not None else "")
        )
    return ", ".join(parts)
