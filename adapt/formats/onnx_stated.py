"""An ONNX node whose inputs are known, and the steps in aten's words that it is restated as."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.formats.aten import Reference
from adapt.formats.onnx_constants import Constant
from adapt.formats.onnx_nodes import OnnxNode
from adapt.graph.network import Shape

PREVIOUS = Reference("")
"""In the arguments of a step: the result of the step before it."""


@dataclass(frozen=True, eq=False)
class Weight:
    """A tensor of the layer, and the initialiser that it was made of."""

    array: NDArray[np.float32]
    source: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """`target` is an aten overload ("relu.default"), or the name of an operator that aten has no word for.

    Arguments are References (or lists of them), Weights and plain values. `output` counts the node's results.
    """

    target: str
    arguments: Mapping[str, Any]
    output: int = 0


@dataclass(frozen=True, kw_only=True)
class Stated:
    """`given` maps the formal names of the inputs that are there to earlier values or constants.

    `rest` holds all inputs of an operator that takes any number of them; `shapes` those of the values by name.
    """

    node: OnnxNode
    opset: int
    given: Mapping[str, Reference | Constant]
    rest: tuple[Reference | Constant, ...]
    shapes: Mapping[str, Shape]

    def refuse(self, why: str) -> NoReturn:
        raise UnsupportedOperator(self.node.where, self.node.op_type, why)

    def has(self, name: str) -> bool:
        return name in self.given or name in self.node.attributes

    def value(self, name: str) -> Reference:
        """An input that earlier nodes computed from the image."""
        found = self.given.get(name)
        if not isinstance(found, Reference):
            self.refuse(f"its input {name} is {'missing' if found is None else 'a constant'}")
        return found

    def shape(self, name: str) -> Shape:
        return self.shapes[self.value(name).name]

    def is_constant(self, name: str) -> bool:
        return isinstance(self.given.get(name), Constant)

    def weight(self, name: str) -> Weight:
        """An input that is stored in the file, as float32."""
        found = self.given.get(name)
        if not isinstance(found, Constant) or not found.fixed:
            self.refuse(f"its {name} is {'missing' if found is None else 'computed, and not stored in the file'}")
        if found.at[0].dtype != np.float32:
            raise NetworkRefused(self.node.where, f"its {name} holds {found.at[0].dtype}, floating point is needed")
        return Weight(found.at[0], found.source)

    def numbers(self, name: str) -> list[Any] | None:
        """An attribute, or an input that is a constant, as a flat list; None where it is left out."""
        found = self.given.get(name)
        if isinstance(found, Reference):
            self.refuse(f"its {name} depends on the image")
        if isinstance(found, Constant):
            try:
                return found.numbers()
            except ValueError as error:
                self.refuse(f"its {name} {error}")
        value = self.node.attributes.get(name)
        return value if value is None or isinstance(value, list) else [value]

    def number(self, name: str, default: Any) -> Any:
        """The same where a single number is expected."""
        found = self.numbers(name)
        if found is None:
            return default
        if len(found) != 1:
            raise NetworkRefused(self.node.where, f"its {name} holds {len(found)} numbers, one is expected")
        return found[0]

    def pair(self, name: str, default: tuple[int, int]) -> tuple[int, int]:
        found = self.node.attributes.get(name, list(default))
        if not isinstance(found, list) or len(found) != 2 or min(found) < 1:
            self.refuse(f"with {name} = {found}; two positive integers are expected")
        return (found[0], found[1])
