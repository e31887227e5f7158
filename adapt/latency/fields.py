"""Fields of a JSON document that strangers sent, checked one by one; whatever is wrong names the field at fault."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapt.errors import Refused, presentable

TEXT_LIMIT = 200


@dataclass(frozen=True)
class Fields:
    """All methods take a value and where it stands in the document, and raise `refusal`."""

    refusal: type[Refused]

    def an_object(
        self, value: object, where: str, names: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> Mapping[str, Any]:
        """An object with all of `names`, perhaps some of `optional`, and nothing else."""
        if not isinstance(value, Mapping):
            raise self.refusal(where, "must be an object")
        prefix = f"{where}." if where else ""
        for name in names:
            if name not in value:
                raise self.refusal(f"{prefix}{name}", "is missing")
        if unknown := sorted(shown(name) for name in value if name not in (*names, *optional)):
            raise self.refusal(f"{prefix}{unknown[0]}", "is not a field of this schema")
        return value

    def key(self, value: object, where: str, pattern: re.Pattern[str]) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.refusal(where, f"{shown(value)} is not a key of this schema, whose form is {pattern.pattern}")
        return value

    def text(self, value: object, where: str, limit: int = TEXT_LIMIT) -> str:
        if not isinstance(value, str) or len(value) > limit or presentable(value, limit) != value:
            raise self.refusal(where, f"must be text of at most {limit} characters, none of them a control character")
        return value

    def number(self, value: object, where: str, *, low: float, high: float) -> float:
        # The comparison is exact for whole numbers of any size, and false for NaN.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.refusal(where, f"{shown(value)} is not a number from {low:g} to {high:g}")
        return float(value)

    def whole(self, value: object, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**9:
            raise self.refusal(where, f"{shown(value)} is not a whole number from 1 to 1000000000")
        return value

    def texts(self, value: object, where: str) -> dict[str, str]:
        """An object whose values are texts."""
        if not isinstance(value, Mapping) or len(value) > 100:
            raise self.refusal(where, "must be an object of at most 100 texts")
        return {self.text(name, where): self.text(text, f"{where}.{shown(name)}") for name, text in value.items()}


def shown(value: object) -> str:
    """At most sixty characters of it."""
    try:
        text = str(value)
    except ValueError:  # a whole number of thousands of digits
        return "a number too long to show"
    return text if len(text) <= 60 else f"{text[:60]}..."
