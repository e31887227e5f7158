"""The tensors of a .pt2 file: data/weights/model_weights_config.json and the raw entries that it names."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.errors import NetworkRefused
from adapt.formats.archive import Archive
from adapt.formats.strict_json import MAX_JSON_BYTES, member, of_type, only_member, parse_object
from adapt.formats.tensors import as_float32, bfloat16_as_float32, check_shape, strided
from adapt.graph.network import Shape

CONFIG = "data/weights/model_weights_config.json"
PICKLED_WEIGHTS = "data/weights/model.pt"
_CONSTANTS_CONFIG = "data/constants/model_constants_config.json"
_ENTRY_NAME = re.compile(r"(?:weight|tensor)_\d{1,6}")
LONG, _BFLOAT16, _STRIDED = 5, 13, 7
# torch/_export/serde/schema.py, ScalarType: the number in the file -> how the bytes are read
_DTYPES: dict[int, str] = {5: "<i8", 6: "<f2", 7: "<f4", 8: "<f8", 13: "<u2"}
FLOATS = frozenset({6, 7, 8, 13})


@dataclass(frozen=True, kw_only=True)
class TensorMeta:
    dtype: int
    shape: Shape
    strides: tuple[int, ...]
    offset: int


def read_config(archive: Archive) -> dict[str, Any]:
    """Name of a weight, or of a constant made in forward() -> its description, not yet checked."""
    found: dict[str, Any] = {}
    for folder, config in (("constants", _CONSTANTS_CONFIG), ("weights", CONFIG)):
        if folder == "weights" or config in archive.names():
            document = parse_object(archive.read(config, MAX_JSON_BYTES), config)
            for name, description in member(document, "config", dict, config).items():
                found[name] = {**of_type(description, dict, config), "folder": folder}
    return found


def entry_name(config: dict[str, Any], name: str) -> str:
    """The archive entry that holds a weight. Raises NetworkRefused for a pickled one or an odd path."""
    description = member(config, name, dict, CONFIG)
    if member(description, "use_pickle", bool, name):
        raise NetworkRefused(name, "is pickled, and nothing is ever unpickled; save plain tensors")
    path = member(description, "path_name", str, name)
    if not _ENTRY_NAME.fullmatch(path):
        raise NetworkRefused(name, f"{path[:80]!a} is no name of a weight's entry")
    return f"data/{description['folder']}/{path}"


def tensor_meta(description: dict[str, Any], where: str) -> TensorMeta:
    """A fixed tensor's description. Raises NetworkRefused for what is sparse, symbolic or of another dtype."""
    dtype = member(description, "dtype", int, where)
    if dtype not in _DTYPES:
        raise NetworkRefused(where, f"data type number {dtype} is not read; float32, float16, bfloat16 and float64 are")
    if member(description, "layout", int, where) != _STRIDED:
        raise NetworkRefused(where, "is not a dense tensor")
    shape = check_shape([_fixed(size, where) for size in member(description, "sizes", list, where)], where)
    strides = tuple(_fixed(stride, where) for stride in member(description, "strides", list, where))
    offset = _fixed(member(description, "storage_offset", dict, where), where)
    return TensorMeta(dtype=dtype, shape=shape, strides=strides, offset=offset)


def _fixed(size: Any, where: str) -> int:
    tag, value = only_member(size, where)
    if tag != "as_int":
        raise NetworkRefused(where, "has a size that is not fixed")
    return of_type(value, int, where)


def read_tensors(archive: Archive, config: dict[str, Any], names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """The named tensors: float32, or int64 as it stands. Memory stays near the size of the file.

    Raises NetworkRefused naming the tensor: missing, of another length than its shape says, strides out of bounds,
    NaN or infinite values.
    """
    return {name: read_tensor(archive, config, name) for name in names}


def read_tensor(archive: Archive, config: dict[str, Any], name: str) -> NDArray[Any]:
    """One tensor, as `read_tensors` reads it."""
    meta = tensor_meta(member(config[name], "tensor_meta", dict, name), name)
    return _read_tensor(archive, entry_name(config, name), meta, name)


def _read_tensor(archive: Archive, entry: str, meta: TensorMeta, name: str) -> NDArray[Any]:
    dtype = np.dtype(_DTYPES[meta.dtype])
    expected = prod(meta.shape) * dtype.itemsize
    if archive.size(entry) != expected:
        raise NetworkRefused(
            name, f"{entry} holds {archive.size(entry)} bytes, the shape {list(meta.shape)} needs {expected}"
        )
    raw = np.empty(expected, dtype=np.uint8)
    archive.read_into(entry, raw.data)
    tensor = strided(raw.view(dtype), meta.shape, meta.strides, meta.offset, name)
    if meta.dtype == LONG:
        return tensor
    return as_float32(bfloat16_as_float32(tensor) if meta.dtype == _BFLOAT16 else tensor, name)
