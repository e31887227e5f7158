"""The tensors of an ONNX file: bytes or typed fields inside the file, with lengths checked against the stated shape."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from adapt.errors import NetworkRefused
from adapt.formats.tensors import as_float32, bfloat16_as_float32, check_shape
from adapt.graph.network import Shape

_RAW: Mapping[int, str] = {
    TensorProto.FLOAT: "<f4",
    TensorProto.FLOAT16: "<f2",
    TensorProto.BFLOAT16: "<u2",
    TensorProto.DOUBLE: "<f8",
    TensorProto.INT64: "<i8",
    TensorProto.INT32: "<i4",
    TensorProto.BOOL: "?",
}
FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
_TYPED: Mapping[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.FLOAT16: "int32_data",
    TensorProto.BFLOAT16: "int32_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.INT32: "int32_data",
    TensorProto.BOOL: "int32_data",
}
_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


def type_name(number: int) -> str:
    """ "FLOAT16" for 10, the number itself for a type that is not known."""
    return str(TensorProto.DataType.Name(number)) if number in TensorProto.DataType.values() else str(number)


def text(value: str | bytes) -> str:
    """A name in the file: protobuf hands out bytes where they are no UTF-8."""
    return value if isinstance(value, str) else value.decode(errors="backslashreplace")


def printable(name: str | bytes, length: int = 200) -> str:
    """A stranger's text as it may stand in an error."""
    return ascii(text(name)[:length])[1:-1]


def read_tensor(tensor: TensorProto, where: str) -> NDArray[Any]:
    """A copy of the values: float32 for every floating-point type, else int64, int32 or bool.

    Raises NetworkRefused: data outside of the file, another type, a length that the shape does not ask for, NaN or
    infinite values, but for a lone number without end.
    """
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        inside = "save the model with its weights inside (torch.onnx.export: external_data=False)"
        raise NetworkRefused(where, f"lies outside of the file (external data); {inside}")
    if tensor.HasField("segment"):
        raise NetworkRefused(where, "is stored in segments, which are not read")
    if tensor.data_type not in _RAW:
        read = ", ".join(type_name(number) for number in _RAW)
        raise NetworkRefused(where, f"holds {type_name(tensor.data_type)} values; {read} are read")
    shape = tensor_shape(tensor, where)
    values = _values(tensor, prod(shape), where).reshape(shape)
    if tensor.data_type == TensorProto.BFLOAT16:
        values = bfloat16_as_float32(values)
    if (
        values.size == 1 and np.isinf(values.astype(np.float64)).all()
    ):  # a bound that is none, or what max pools pad with
        return values.astype(np.float32)
    return as_float32(values, where) if tensor.data_type in FLOATS else values


def tensor_shape(tensor: TensorProto, where: str) -> Shape:
    """Like any other tensor's, but that a list of numbers may be empty, and places may lie along more axes."""
    sizes = list(tensor.dims)
    if tensor.data_type not in FLOATS and 4 < len(sizes) <= 8:
        return (*check_shape(sizes[:4], where), *check_shape(sizes[4:], where))
    return (0,) if sizes == [0] else check_shape(sizes, where)


def _values(tensor: TensorProto, count: int, where: str) -> NDArray[Any]:
    dtype, field = np.dtype(_RAW[tensor.data_type]), _TYPED[tensor.data_type]
    filled = [name for name in _FIELDS if len(getattr(tensor, name))]
    if tensor.HasField("raw_data"):
        raw = tensor.raw_data
        if filled:
            raise NetworkRefused(where, f"holds its values twice, as raw_data and as {filled[0]}")
        if len(raw) != count * dtype.itemsize:
            raise NetworkRefused(
                where, f"holds {len(raw)} bytes, its shape {list(tensor.dims)} needs {count * dtype.itemsize}"
            )
        return np.frombuffer(raw, dtype=dtype).copy()
    if filled not in ([], [field]):
        raise NetworkRefused(where, f"holds its values as {', '.join(filled)}, {field} is expected")
    listed = getattr(tensor, field)
    if len(listed) != count:
        raise NetworkRefused(where, f"holds {len(listed)} values, its shape {list(tensor.dims)} needs {count}")
    if tensor.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16):  # their bits, one value to an integer
        bits = np.array(listed, dtype=np.int32)
        if ((bits < 0) | (bits > 0xFFFF)).any():
            raise NetworkRefused(where, "holds integers that are no 16-bit values")
        return bits.astype(np.uint16).view(dtype)
    return np.array(listed, dtype=dtype)
