"""Mutations of .parquet files: their footer and pages as bytes, and schemas that no data set of images has."""

import json
from collections.abc import Sequence
from io import BytesIO
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.fuzzing.documents import mutated_document
from benchmarks.fuzzing.raw import mutated_bytes

FEATURES = {"info": {"features": {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["a", "b"]}}}}
_NAMES = ("image", "img", "label", "labels", "split", "class", "", "a\0b", "x" * 500, "é😀", "image.bytes", "=1+1")


def mutated_parquet(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    if rng.random() < 0.4:
        footer = int.from_bytes(data[-8:-4], "little") + 8
        return data[:-footer] + mutated_bytes(data[-footer:], rng, others)
    return _written(rng, pq.read_table(BytesIO(data)).column(0).to_pylist())


def _written(rng: Random, images: list[Any]) -> bytes:
    """A table of odd columns around the images."""
    rows = rng.choice((0, 1, 2, len(images), len(images), len(images)))
    columns: dict[str, Any] = {"image": _images(rng, images[:rows]), "label": _labels(rng, rows)}
    if rng.random() < 0.3:
        columns["split"] = pa.array(
            [rng.choice(("train", "test", "validation", "a", None)) for _ in range(rows)], pa.string()
        )
    names = [name if rng.random() < 0.85 else rng.choice(_NAMES) for name in columns]
    table = pa.table([*columns.values()], names=names)
    features = mutated_document(json.loads(json.dumps(FEATURES)), rng) if rng.random() < 0.6 else json.dumps(FEATURES)
    table = table.replace_schema_metadata({"huggingface": features})
    out = BytesIO()
    pq.write_table(
        table,
        out,
        compression=rng.choice(("none", "snappy", "gzip", "zstd")),
        row_group_size=rng.choice((1, 3, 1000)),
        use_dictionary=rng.random() < 0.5,
    )
    return out.getvalue()


def _images(rng: Random, images: list[Any]) -> Any:
    encoded = [
        image["bytes"] if rng.random() < 0.9 else rng.choice((None, b"", b"\0", image["bytes"][:9])) for image in images
    ]
    how = rng.randrange(6)
    if how == 0:
        return pa.array(encoded, rng.choice((pa.binary(), pa.large_binary())))
    if how == 1:
        return pa.array([[value] for value in encoded], pa.list_(pa.binary()))
    if how == 2:
        return pa.array([{"bytes": {"bytes": value}} for value in encoded])
    if how == 3:
        return pa.array(encoded, pa.binary()).dictionary_encode()
    structs = [
        {"bytes": value, "path": rng.choice(("a.png", None))} if rng.random() < 0.95 else None for value in encoded
    ]
    return pa.array(structs, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def _labels(rng: Random, rows: int) -> Any:
    kinds: tuple[tuple[Any, tuple[Any, ...]], ...] = (
        (pa.int64(), (0, 1)),
        (pa.int64(), (0, 1, -1, 2**63 - 1, None)),
        (pa.uint8(), (0, 1, 255)),
        (pa.string(), ("cat", "dog", "", "a\0b", "=1+1", "é", None)),
        (pa.bool_(), (True, False)),
        (pa.float64(), (0.0, 1.0, float("nan"))),
        (pa.list_(pa.int64()), ([0], [1], [])),
        (pa.decimal128(5), (0, 1)),
        (pa.timestamp("s"), (0, 1)),
        (pa.null(), (None,)),
    )
    kind, values = rng.choice((kinds[0], rng.choice(kinds)))
    array = pa.array([rng.choice(values) for _ in range(rows)], kind)
    can_be_coded = pa.types.is_string(kind) or pa.types.is_integer(kind)
    return array.dictionary_encode() if can_be_coded and rng.random() < 0.3 else array
