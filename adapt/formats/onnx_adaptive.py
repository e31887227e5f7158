"""The average over cells that do not divide an image, as those write it who have no word for it."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.formats.onnx_lookup import Lookup
from adapt.formats.onnx_nodes import OnnxNode
from adapt.formats.onnx_spelled_norms import Match
from adapt.graph.operators.averaging import cells
from adapt.graph.operators.operator import LARGEST_SIZE

_MOST_STEPS = 1000


def adaptive_average(product: OnnxNode, nodes: Lookup) -> Match | None:
    """Two products with the shares that rows and columns have in each cell, as our own writer spells it."""
    rows = nodes.array(product.inputs[0]) if len(product.inputs) == 2 else None
    narrowed = None if rows is None else nodes.maker(product.inputs[1], "MatMul")
    columns = None if narrowed is None else nodes.array(narrowed.inputs[1])
    if rows is None or narrowed is None or columns is None or rows.ndim != 2 or columns.ndim != 2:
        return None
    if not all(np.array_equal(given, cells(*given.shape[::-1])) for given in (rows, columns.T)):
        return None
    return [(product, _pool(product, narrowed.inputs[0], rows.shape[1], rows.shape[0], *columns.shape))]


def _pool(node: OnnxNode, image: str, height: int, rows: int, width: int, columns: int) -> OnnxNode:
    attributes = {"image": [height, width], "output_size": [rows, columns]}
    return replace(node, op_type="adaptive average pool", inputs=(image,), attributes=attributes)


def gathered_average(gathered: OnnxNode, nodes: Lookup) -> Match | None:
    """The pixels of each cell, their places [rows, pixels, columns, pixels, 2], averaged: torch's newer exporter.

    Cells of several sizes are filled up, their excess masked, and the sum divided by how many pixels each has.
    """
    turned = nodes.maker(gathered.inputs[0], "Transpose") if len(gathered.inputs) == 2 else None
    places = nodes.array(gathered.inputs[1]) if turned is not None else None
    if (
        turned is None
        or places is None
        or places.ndim != 5
        or places.dtype.kind != "i"
        or places.max() > LARGEST_SIZE
        or turned.attributes.get("perm") != [2, 3, 0, 1]
    ):
        return None
    rows, columns = places[:, :, 0, 0, 0], places[0, 0, :, :, 1]
    height, width = int(rows.max()) + 1, int(columns.max()) + 1
    last = _end_of_sum(gathered, nodes)
    whole = np.stack(np.broadcast_arrays(rows[:, :, None, None], columns), -1)
    if last is None or not (_are_cells(rows, height) and _are_cells(columns, width) and np.array_equal(places, whole)):
        return None
    return [(last, _pool(last, turned.inputs[0], height, len(rows), width, len(columns)))]


def _are_cells(places: NDArray[Any], size: int) -> bool:
    """Whether [cells, pixels] are the pixels that adaptive pooling to so many cells looks at."""
    starts = [cell * size // len(places) for cell in range(len(places))]
    longest = max(-(-(cell + 1) * size // len(places)) - start for cell, start in enumerate(starts))
    wanted = np.array(starts)[:, None] + np.arange(longest)
    return longest == places.shape[1] and np.array_equal(places, np.minimum(wanted, size - 1))


def _end_of_sum(gathered: OnnxNode, nodes: Lookup) -> OnnxNode | None:
    """The one ReduceMean or division that all that follows leads to."""
    seen, ends = [gathered], dict[str, OnnxNode]()
    for node in seen:
        for user in nodes.users(node):
            if user.op_type in ("ReduceMean", "Div"):
                ends[user.outputs[0]] = user
            elif user.op_type in ("Transpose", "Where", "Gather", "Add") and len(seen) < _MOST_STEPS:
                seen.append(user)
            else:
                return None
    return next(iter(ends.values())) if len(ends) == 1 else None
