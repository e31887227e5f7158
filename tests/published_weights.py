"""Stand-ins for published weights: any network's state_dict filled from its names alone, the same in every library.

torchvision_networks.json records what torchvision's own classes made of these: the sha256 of their state_dict's names
and shapes, and the first scores for `images` (whose weights they were: `state_of(model.state_dict() shapes)`, in eval
mode, transform_input off, no pretrained weights).
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RECORDED: Mapping[str, dict[str, Any]] = json.loads((Path(__file__).parent / "torchvision_networks.json").read_text())[
    "networks"
]
"""Zoo name -> "names" (sha256), "tensors" (their number), "shape" ([C, H, W]), "scores" (the first five)."""


def digest(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Of a state_dict's names and shapes, in alphabetical order."""
    lines = [f"{name} {list(shape)}\n" for name, shape in sorted(shapes.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def state_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Every tensor, from its name and shape; batch norms have statistics that make a difference."""
    return {name: _tensor(name, shape) for name, shape in shapes.items()}


def images(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Two of them: [2, C, H, W]."""
    return np.random.default_rng(7).standard_normal((2, *shape), dtype=np.float32)


def _tensor(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.array(7, np.int64)
    if len(shape) > 1:
        return random.standard_normal(shape, dtype=np.float32) * np.float32(sqrt(2 / prod(shape[1:])))
    if name.endswith(("bias", "running_mean")):
        return random.standard_normal(shape, dtype=np.float32) * np.float32(0.1)
    return random.random(shape, dtype=np.float32) * np.float32(0.4) + np.float32(0.8)
