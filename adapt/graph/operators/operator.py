"""What a row of the operator table says, and the checks of its attributes. Imports neither torch nor onnx."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from adapt.graph.network import Attribute, Shape

BATCH: Final = "batch"
"""Stands in an aten argument for the size of the batch dimension."""

LARGEST_SIZE: Final = 1 << 16
"""No stride, padding, kernel or channel count of an image classifier comes near it."""

Torch = Any
"""The torch module, handed in by whoever has imported it."""

Attributes = Mapping[str, Attribute]
WeightShapes = Mapping[str, Shape]
"""Role ("weight", "bias" ...) -> shape."""

ShapeRule = Callable[[Sequence[Shape], Attributes, WeightShapes], Shape]
"""Input shapes, attributes, weight shapes -> output shape; raises ValueError saying what does not fit."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two integers (height, width); a single one stands for both."""

    low: int
    default: tuple[int, int] | None = None

    def read(self, value: Any) -> Attribute:
        pair = value if isinstance(value, (list, tuple)) else [value]
        if len(pair) not in (1, 2) or not all(type(v) is int and self.low <= v <= LARGEST_SIZE for v in pair):
            raise ValueError(f"must be two integers from {self.low} to {LARGEST_SIZE}, is {value!r}")
        return (pair[0], pair[-1])


@dataclass(frozen=True, kw_only=True)
class Real:
    """A finite number from `low` to `high`."""

    low: float
    high: float
    default: float | None = None

    def read(self, value: Any) -> Attribute:
        if type(value) not in (int, float) or not math.isfinite(value) or not self.low <= value <= self.high:
            raise ValueError(f"must be a number from {self.low:g} to {self.high:g}, is {value!r}")
        return float(value)


@dataclass(frozen=True, kw_only=True)
class Flag:
    default: bool | None = None

    def read(self, value: Any) -> Attribute:
        if type(value) is not bool:
            raise ValueError(f"must be true or false, is {value!r}")
        return value


@dataclass(frozen=True, kw_only=True)
class Axes:
    """A few ascending dimensions, counted from the front."""

    allowed: tuple[tuple[int, ...], ...]
    default: None = None

    def read(self, value: Any) -> Attribute:
        if not isinstance(value, (list, tuple)) or tuple(value) not in self.allowed:
            raise ValueError(f"must be one of {list(self.allowed)}, is {value!r}")
        if any(type(axis) is not int for axis in value):
            raise ValueError(f"must hold integers, is {value!r}")
        return tuple(value)


@dataclass(frozen=True, kw_only=True)
class Whole:
    """An integer from `low` to LARGEST_SIZE in size."""

    low: int = 0
    default: int | None = None

    def read(self, value: Any) -> Attribute:
        if type(value) is not int or not self.low <= value <= LARGEST_SIZE:
            raise ValueError(f"must be an integer from {self.low} to {LARGEST_SIZE}, is {value!r}")
        return value


@dataclass(frozen=True, kw_only=True)
class Wholes:
    """A few integers from `low` to `high`, at most ten."""

    low: int
    high: int = LARGEST_SIZE
    default: None = None

    def read(self, value: Any) -> Attribute:
        fits = isinstance(value, (list, tuple)) and 0 < len(value) <= 10
        if not fits or not all(type(v) is int and self.low <= v <= self.high for v in value):
            raise ValueError(f"must be one to ten integers from {self.low} to {self.high}, is {value!r}")
        return tuple(value)


@dataclass(frozen=True, kw_only=True)
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]
    default: str | None = None

    def read(self, value: Any) -> Attribute:
        if type(value) is not str or value not in self.words:
            raise ValueError(f"must be one of {', '.join(self.words)}, is {str(value)[:40]!a}")
        return value


Field = Pair | Real | Flag | Axes | Whole | Wholes | OneOf


@dataclass(frozen=True, kw_only=True)
class Call:
    """One aten node as a file states it.

    `arguments` holds those that are neither inputs nor weights, as plain values (BATCH for the batch size; None
    for an absent optional). `inputs` are shapes with the batch dimension in front, `batch` is the batch size that
    the file was exported with when that was fixed, `buffers` are the weights that training leaves alone.
    """

    arguments: Mapping[str, Any]
    inputs: tuple[Shape, ...]
    weights: WeightShapes
    batch: int | None
    buffers: frozenset[str] = frozenset()


def always(call: Call) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Aten:
    """One way in which `torch.export` spells an operator.

    `target` is the overload without "torch.ops.aten."; `inputs` names the tensor arguments, `weights` those that
    hold weights; they are called like the operator's roles, or `roles` says which role an argument has. Of several
    readings of one target the first whose `when` holds is taken. Attributes are read from the arguments of the same
    name, unless `attributes` computes them. `fixed` lists the values an argument may have when it is given, `implied`
    what it must be by the shapes; `ignored` ones do not change the result. `in_place` writes to the first input,
    `alias` may hand out its memory. An input that is a list of tensors stands in `inputs` once, and is all inputs.
    """

    target: str
    inputs: tuple[str, ...] = ("self",)
    weights: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    when: Callable[[Call], bool] = always
    attributes: Callable[[Call], Mapping[str, Any]] | None = None
    fixed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    implied: Mapping[str, Callable[[Call], Any]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    in_place: bool = False
    alias: bool = False


@dataclass(frozen=True, kw_only=True)
class OnnxNode:
    """`inputs` are value names; an `output` of "" is the operator's own value."""

    op_type: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""


@dataclass(frozen=True, kw_only=True)
class OnnxCall:
    """An operator at the place where it is written: `weights` maps roles to value names.

    `constant(suffix, array)` adds a tensor that belongs to this node alone and returns its value name.
    """

    name: str
    inputs: tuple[str, ...]
    shapes: tuple[Shape, ...]
    attributes: Attributes
    weights: Mapping[str, str]
    weight_shapes: WeightShapes
    constant: Callable[[str, NDArray[Any]], str]


def no_macs(output: Shape, weights: WeightShapes) -> int:
    return 0


def handed_on(attributes: Attributes, inputs: Sequence[Shape]) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Operator:
    """A row of the table. A new operator is one new row.

    `arity` counts the tensor inputs, 0 says one or more. `weights` maps each role to whether it must be there. `macs`
    is given the output's shape (batch 1) and counts multiply-adds as the papers do: convolutions and linear layers
    only. `allocates` is false where the output is the input's memory seen differently. Exactly one of `module` (builds
    an nn.Module from torch, input shapes, attributes, weight shapes) and `function` (builds a function of the input
    tensors from torch, attributes) is given. `mixes` is given the attributes and the input shapes: a sentence that
    says why the input's channels must all stay, None where channel c of the output is made of channel c alone.
    """

    name: str
    shape: ShapeRule
    onnx: Callable[[OnnxCall], Sequence[OnnxNode]]
    aten: tuple[Aten, ...]
    arity: Literal[0, 1, 2] = 1
    attributes: Mapping[str, Field] = field(default_factory=dict)
    weights: Mapping[str, bool] = field(default_factory=dict)
    macs: Callable[[Shape, WeightShapes], int] = no_macs
    allocates: bool = True
    module: Callable[[Torch, Sequence[Shape], Attributes, WeightShapes], Any] | None = None
    function: Callable[[Torch, Attributes], Callable[..., Any]] | None = None
    mixes: Callable[[Attributes, Sequence[Shape]], str | None] = handed_on


def same_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    return inputs[0]


def with_in_place(*readings: Aten) -> tuple[Aten, ...]:
    """The readings, and the same ones spelled in place ("relu_.default")."""
    in_place = []
    for reading in readings:
        name, overload = reading.target.split(".")
        in_place.append(replace(reading, target=f"{name}_.{overload}", in_place=True))
    return (*readings, *in_place)


def scalar(value: float) -> NDArray[Any]:
    return np.array(value, dtype=np.float32)
