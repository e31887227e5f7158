"""The text fields that come with a model upload, checked against what the network says of itself."""

import json
import math
from typing import Any

from adapt.spec import Normalization, default_normalization
from app.labels import MAX_NAME
from app.uploads import FieldRefused

MIN_STD = 1e-6
"""Of a pixel as 0..1: what is smaller divides by nothing in float32, and every score would be infinite or no number."""


def parse_normalization(text: str | None, channels: int) -> Normalization:
    """`{"mean": [..], "std": [..]}` on pixel / 255, one number per channel; absent: the default for `channels`.

    Raises FieldRefused.
    """
    if text is None:
        return default_normalization(channels)
    document = _json("/normalization", text)
    if not isinstance(document, dict) or set(document) != {"mean", "std"}:
        raise FieldRefused("/normalization", 'has to be an object with exactly the keys "mean" and "std"')
    mean = _numbers("/normalization/mean", document["mean"], channels)
    std = _numbers("/normalization/std", document["std"], channels)
    if min(std) < MIN_STD:
        raise FieldRefused("/normalization/std", f"every number has to be at least {MIN_STD:g}")
    return Normalization(mean=mean, std=std)


def parse_classes(text: str | None, outputs: int) -> tuple[str, ...] | None:
    """Class names in the order of the network's outputs, or None when none were given. Raises FieldRefused."""
    if text is None:
        return None
    names = _json("/classes", text)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FieldRefused("/classes", "has to be a JSON list of names")
    if len(names) != outputs:
        raise FieldRefused("/classes", f"has {len(names)} names, the network has {outputs} outputs")
    if any(not 1 <= len(name) <= MAX_NAME or not name.isprintable() for name in names):
        raise FieldRefused("/classes", f"every name takes 1 to {MAX_NAME} printable characters")
    if len(set(names)) != len(names):
        raise FieldRefused("/classes", "a name is given twice")
    return tuple(names)


def _json(pointer: str, text: str) -> Any:
    def refuse(constant: str) -> None:
        raise FieldRefused(pointer, f"{constant} is no number")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise FieldRefused(pointer, f"is not JSON: {error}") from error


def _numbers(pointer: str, values: Any, length: int) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) != length:
        raise FieldRefused(pointer, f"has to be a list of {length} numbers, one for each channel of the input")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise FieldRefused(pointer, "has to hold numbers only")
    if not all(abs(value) <= 1e6 and math.isfinite(value) for value in values):
        raise FieldRefused(pointer, "every number has to be finite and at most 1e6")
    return tuple(float(value) for value in values)
