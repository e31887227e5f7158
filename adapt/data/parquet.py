"""Images and labels in a .parquet file, in the layout that Hugging Face `datasets` writes. In a child process only."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # the others reserve more than a limited child has

import pyarrow as pa
import pyarrow.parquet as pq

from adapt.data.members import MOST_ENTRIES, MOST_IMAGE_BYTES, shown
from adapt.errors import DatasetRefused

IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img"), ("label", "labels", "fine_label", "class")
MOST_CLASSES = 65_536
ROWS_AT_A_TIME = 64


@dataclass(frozen=True, kw_only=True)
class Labelled:
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


class ParquetImages:
    """Opens `path`. Raises DatasetRefused where the columns are not an image and a label."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path, memory_map=False, pre_buffer=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DatasetRefused("", f"is no .parquet file that can be read: {_first_line(error)}") from error
        schema = self._file.schema_arrow
        self._image = _column(schema, IMAGE_COLUMNS, "image")
        self._label = _column(schema, LABEL_COLUMNS, "label")
        _check_image_type(self._image, schema.field(self._image).type)
        if self._file.metadata.num_rows > MOST_ENTRIES:
            raise DatasetRefused("", f"has {self._file.metadata.num_rows} rows, at most {MOST_ENTRIES} are read")

    def read_labels(self) -> Labelled:
        """Class numbers and names; text labels are sorted as text. Raises DatasetRefused, naming the row."""
        kind = self._file.schema_arrow.field(self._label).type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
        if not text and not pa.types.is_integer(kind):
            raise DatasetRefused(self._label, f"is a column of {kind}; labels are integers or text")
        found: list[Any] = []
        for batch in self._batches([self._label], range(self._file.num_row_groups)):
            found += batch.column(0).to_pylist()
        if None in found:
            raise DatasetRefused(f"{self._label}, row {found.index(None)}", "has no label")
        if not found:
            raise DatasetRefused("", "has no rows")
        if text:
            classes = sorted(set(found))
            number = {name: label for label, name in enumerate(classes)}
            notes = ("class names are the labels sorted as text",)
            return Labelled(
                labels=tuple(number[name] for name in found), classes=tuple(map(shown, classes)), notes=notes
            )
        return self._numbered(found)

    def read_images(self, start: int, stop: int) -> Iterator[tuple[int, bytes | None]]:
        """(row, encoded image) of these rows, a few at a time; None where there are no bytes or far too many."""
        first = 0
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if first < stop and first + rows > start:
                row = first
                for batch in self._batches([self._image], [group]):
                    column = batch.column(0)
                    values = column.field("bytes") if pa.types.is_struct(column.type) else column
                    for value in values:
                        if start <= row < stop:
                            small = value.is_valid and value.as_buffer().size <= MOST_IMAGE_BYTES
                            yield row, value.as_py() if small else None
                        row += 1
            first += rows

    def _numbered(self, found: list[int]) -> Labelled:
        names = _class_names(self._file.schema_arrow, self._label)
        most = len(names) if names else MOST_CLASSES
        for row, label in enumerate(found):
            if not 0 <= label < most:
                raise DatasetRefused(f"{self._label}, row {row}", f"is {label}, labels are 0..{most - 1}")
        classes = names or tuple(str(label) for label in range(max(found) + 1))
        return Labelled(labels=tuple(found), classes=classes, notes=())

    def _batches(self, columns: list[str], groups: Any) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._file.iter_batches(
                batch_size=ROWS_AT_A_TIME if columns == [self._image] else 65_536,
                row_groups=list(groups),
                columns=columns,
                use_threads=False,
            )
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DatasetRefused(columns[0], f"cannot be read: {_first_line(error)}") from error


def _column(schema: pa.Schema, names: tuple[str, ...], what: str) -> str:
    for name in names:
        if name in schema.names:
            return name
    there = ", ".join(shown(name) for name in schema.names[:20])
    raise DatasetRefused("", f"has no {what} column ({' or '.join(names)}); its columns are {there}")


def _check_image_type(name: str, kind: pa.DataType) -> None:
    if pa.types.is_struct(kind):
        if kind.get_field_index("bytes") < 0:
            raise DatasetRefused(name, f"is {kind}, without the field `bytes`; embed the images")
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DatasetRefused(name, f"holds {kind}, not encoded images (struct<bytes: binary, path: string>)")


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """The names that `datasets` writes into the schema's metadata; empty where there are none."""
    written = (schema.metadata or {}).get(b"huggingface")
    if written is None:
        return ()
    try:
        feature = json.loads(written)["info"]["features"][label]
        names = feature["names"] if feature.get("_type") == "ClassLabel" else []
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(shown(name) for name in names[:MOST_CLASSES])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
