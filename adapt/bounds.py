"""What a setting may be: one table for the requests of the service and for `adapt.run`, and the check by it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from adapt.errors import AdaptError
from adapt.spec import GroupLimits, Race, Reward, Settings, Step


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Of a number: at least `ge`, above `gt`, at most `le`, below `lt`, where these are given."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    @property
    def given(self) -> dict[str, Any]:
        return {name: limit for name, limit in vars(self).items() if limit is not None}

    def hold(self, value: float) -> bool:
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def __str__(self) -> str:
        words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
        return " and ".join(f"{words[name]} {limit}" for name, limit in self.given.items())


MAX_ROUNDING = 1024
_RATE = Bounds(gt=0, le=10)
_SHARE = Bounds(ge=0, le=1)
_FILTERS = Bounds(ge=1, le=65_536)
BOUNDS: Mapping[type, Mapping[str, Bounds]] = {
    Settings: {
        "largest_share": Bounds(gt=0, le=1),
        "short_term_steps": Bounds(ge=1, le=1_000_000),
        "long_term_epochs": Bounds(ge=0, le=10_000),
        "batch_size": Bounds(ge=2, le=65_536),
        "learning_rate": _RATE,
        "long_term_learning_rate": _RATE,
        "training_epochs": Bounds(ge=1, le=10_000),
        "training_learning_rate": _RATE,
        "batch_norm_batches": Bounds(ge=0, le=10_000),
        "momentum": Bounds(ge=0, lt=1),
        "weight_decay": _SHARE,
        "round_channels_to": Bounds(ge=1, le=MAX_ROUNDING),
        "min_channels": _FILTERS,
        "max_removed": _SHARE,
        "distill_temperature": Bounds(ge=0.1, le=100),
        "distill_weight": _SHARE,
        "holdout": Bounds(ge=0.01, le=0.5),
        "holdout_max": Bounds(ge=0, le=0.5),
        "seed": Bounds(ge=0, le=2**63 - 1),
    },
    Step: {"initial": Bounds(ge=0.0001, le=0.9), "decay": Bounds(ge=0.01, le=1)},
    Reward: {"alpha": Bounds(ge=-10, le=0), "beta": Bounds(ge=-10, le=0)},
    Race: {"standard_errors": Bounds(ge=0.5, le=10), "rest": Bounds(ge=0, le=20), "picks": Bounds(ge=1, le=8)},
    GroupLimits: {"min_channels": _FILTERS, "max_removed": _SHARE},
}


def check_types_and_bounds(held: Any, where: str = "") -> None:
    """Of a dataclass of BOUNDS and of those that it holds. Raises AdaptError, naming the setting: what it has to be."""
    for name, kind in get_type_hints(type(held)).items():
        path, value = f"{where}{name}", getattr(held, name)
        if is_dataclass(value):
            check_types_and_bounds(value, f"{path}.")
        elif isinstance(value, Mapping):
            for key, part in value.items():
                check_types_and_bounds(part, f"{path}.{key}.")
        elif not _is_of(kind, value):
            raise AdaptError(f"{path}: {value!r} is not {_in_words(kind)}")
        elif (
            not isinstance(value, str | None)
            and name in (bounds := BOUNDS[type(held)])
            and not bounds[name].hold(value)
        ):
            raise AdaptError(f"{path}: {value!r} has to be {bounds[name]}")


def _is_of(kind: Any, value: object) -> bool:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return any(_is_of(each, value) for each in get_args(kind))
    if origin is Literal:
        return value in get_args(kind)
    if origin is tuple:
        return isinstance(value, tuple) and all(isinstance(each, str) for each in value)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _in_words(kind: Any) -> str:
    """What a setting of this type has to be."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return " or ".join(_in_words(each) for each in get_args(kind) if each is not type(None))
    if origin is Literal:
        there_are = ", ".join(map(repr, get_args(kind)))
        return f"one of {there_are}" if "," in there_are else there_are
    words = {float: "a finite number", int: "a whole number", bool: "True or False", str: "a text"}
    return words.get(kind, "a list of texts" if origin is tuple else "a mapping")
