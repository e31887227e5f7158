"""Laws of the readers, over whatever hypothesis thinks of: a value, or one of our own refusals."""

import io
import json
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto

from adapt.data.members import list_members
from adapt.data.npz_archive import NpzArchive
from adapt.errors import (
    MOST_WHERE,
    MOST_WHY,
    DatasetRefused,
    NetworkRefused,
    Refused,
    TableRefused,
    UnsupportedOperator,
)
from adapt.formats.onnx_tensors import read_tensor
from adapt.formats.strict_json import parse_object
from adapt.formats.tensors import check_shape, strided
from adapt.latency.table import table_from_document
from app.json_body import BodyMalformed, parse_json

any_text = st.text(st.characters(), max_size=60) | st.text(st.characters(categories=["Cs", "Cc", "Cf"]), max_size=9)
numbers = st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats()
values = st.recursive(
    numbers | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)
SPOILT = ("NaN", "Infinity", '"\\ud800"', '"\\u0000"', "1" * 5000, "[" * 2000, "1e999", '{"a":1,"a":2}', "01", "tru")


def fit(text: str) -> bool:
    """For a terminal, a database and a JSON answer."""
    text.encode()
    return not any(ord(char) < 32 or "\u202a" <= char <= "\u202e" for char in text)


def check_fit(error: Refused) -> None:
    assert fit(str(error))


@given(values, st.sampled_from(SPOILT) | st.none())
@pytest.mark.parametrize(("parse", "refusal"), [(parse_object, NetworkRefused), (parse_json, BodyMalformed)])
def test_json_is_one_plain_document_or_refused(parse: Any, refusal: Any, value: Any, spoilt: str | None) -> None:
    text = json.dumps({"value": value})
    data = (text if spoilt is None else text.replace('"value":', f'"other": {spoilt}, "value":')).encode()
    try:
        document = parse(data, "here") if parse is parse_object else parse(data)
    except refusal:
        return
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert "NaN" not in json.dumps(document["value"]) or "NaN" in text


@given(st.binary(max_size=200))
@pytest.mark.parametrize(("parse", "refusal"), [(parse_object, NetworkRefused), (parse_json, BodyMalformed)])
def test_any_bytes_are_json_or_refused(parse: Any, refusal: Any, data: bytes) -> None:
    with suppress(refusal):
        parse(data, "here") if parse is parse_object else parse(data)


@given(any_text, any_text)
def test_a_refusal_can_be_shown_stored_and_sent_whatever_it_quotes(where: str, why: str) -> None:
    for error in (Refused(where, why), UnsupportedOperator(where, why, where), TableRefused(where, why * 100)):
        assert fit(str(error))
        assert len(str(error)) < 12 * (2 * MOST_WHERE + MOST_WHY)
        again = type(error)(*error.args)
        assert fit(str(again))


@given(st.lists(st.integers(-2, 40) | values, max_size=6))
def test_a_shape_is_positive_integers_or_refused(sizes: list[Any]) -> None:
    try:
        shape = check_shape(sizes, "here")
    except NetworkRefused:
        return
    assert len(shape) <= 4
    assert all(type(size) is int and size > 0 for size in shape)


@given(st.lists(st.integers(1, 5), max_size=4), st.lists(st.integers(-1, 40), max_size=4), st.integers(-1, 30))
def test_strides_stay_inside_of_the_bytes_and_share_no_place(shape: list[int], strides: list[int], offset: int) -> None:
    flat = np.arange(60, dtype=np.float32)
    try:
        found = strided(flat, tuple(shape), strides, offset, "here")
    except NetworkRefused:
        return
    places = [offset + sum(i * s for i, s in zip(at, strides, strict=True)) for at in np.ndindex(*shape)]
    assert found.ravel().tolist() == places
    assert len(set(places)) == len(places)


@given(
    st.lists(st.integers(-1, 5) | st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.integers(0, 30),
    st.binary(max_size=64),
    st.lists(st.floats(width=32), max_size=6),
)
def test_a_tensor_of_an_onnx_file_has_the_stated_shape_or_is_refused(
    dims: list[int], kind: int, raw: bytes, listed: list[float]
) -> None:
    tensor = TensorProto(dims=dims, data_type=kind)
    if raw:
        tensor.raw_data = raw
    tensor.float_data.extend(listed)
    try:
        found = read_tensor(tensor, "here")
    except NetworkRefused as error:
        return check_fit(error)
    assert list(found.shape) == dims
    assert np.isfinite(found).all() or found.size == 1


@given(st.lists(any_text.filter(lambda name: len(name.encode(errors="replace")) < 60000), min_size=1, max_size=4))
def test_a_name_in_a_zip_stays_below_the_archive_or_is_refused(names: list[str]) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, suppress(UnicodeEncodeError, ValueError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one name twice
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"")
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.zip")
        path.write_bytes(file.getvalue())
        try:
            members = list_members(path, "zip", max_bytes=1000)
        except DatasetRefused as error:
            return check_fit(error)
    for member in members:
        assert not member.name.startswith("/")
        assert not {"", ".", ".."} & {*member.name.split("/")}


@given(
    st.sampled_from(["'|u1'", "'<f4'", "'|O'", "'<U3'", "[('a', '|O')]", "''", "'>i8'"]) | st.text(max_size=12),
    st.sampled_from(["False", "True", "1", "None"]),
    st.lists(st.integers(-2, 9) | st.integers(0, 2**70), max_size=4).map(lambda sizes: str(tuple(sizes)))
    | st.text(max_size=9),
    st.binary(max_size=80),
)
@settings(max_examples=60)
def test_an_array_of_an_npz_has_the_stated_shape_or_is_refused(descr: str, order: str, shape: str, data: bytes) -> None:
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode("latin-1", "replace")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data)
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.npz")
        path.write_bytes(file.getvalue())
        try:
            with NpzArchive(path, 1000) as opened:
                entry = opened.entries()["x"]
                if entry.dtype.hasobject:
                    return  # refused by whoever asks for it, before it is read
                found = opened.read([entry], None)
        except DatasetRefused as error:
            return check_fit(error)
    assert found.shape == entry.shape
    assert found.nbytes == len(data)


@given(st.sampled_from(["schema", "version", "conditions", "calibration", "entries"]), values)
def test_a_look_up_table_with_any_other_value_is_refused(name: str, value: Any) -> None:
    document = {"schema": "netadapt-lookup-table", "version": 1, "conditions": {}, "calibration": 1.0, "entries": []}
    with pytest.raises(TableRefused) as refused:
        table_from_document({**document, name: value})
    assert fit(str(refused.value))


@given(
    arrays.arrays(
        np.float32, arrays.array_shapes(min_dims=1, max_dims=4, max_side=4), elements=st.floats(-9, 9, width=32)
    )
)
def test_a_tensor_that_was_written_is_read_back(array: Any) -> None:
    tensor = TensorProto(dims=array.shape, data_type=TensorProto.FLOAT, raw_data=array.tobytes())
    np.testing.assert_array_equal(read_tensor(tensor, "here"), array)
