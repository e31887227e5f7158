"""Images and labels in a .parquet file, in the layout that Hugging Face `datasets` writes. In a child process only."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # the others reserve more than a limited child has

import pyarrow as pa
import pyarrow.parquet as pq

from adapt.data.huggingface import class_names, features_of, read_features
from adapt.data.members import MOST_ENTRIES, MOST_IMAGE_BYTES, shown
from adapt.data.pictures import Unreadable
from adapt.data.splits import Declared, Role, declared_by, roles_of
from adapt.errors import DatasetRefused

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")
SPLIT_COLUMN = "split"
MOST_CLASSES = 65_536
ROWS_AT_A_TIME = 64
_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_LABELS = (pa.types.is_integer, pa.types.is_boolean, *_TEXT)
BUFFER_BYTES = 1 << 20  # read ahead of a column: without it a whole row group is, which may be gigabytes


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """`declared` None: no test part was declared."""

    labels: tuple[int, ...]
    classes: tuple[str, ...]
    declared: Declared | None
    notes: tuple[str, ...]


class ParquetImages:
    """Opens `path`. Raises DatasetRefused where the columns are not an image and a label."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path, memory_map=False, pre_buffer=False, buffer_size=BUFFER_BYTES)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DatasetRefused("", f"is no .parquet file that can be read: {_first_line(error)}") from error
        schema = self._file.schema_arrow
        if twice := [name for name, count in Counter(schema.names).items() if count > 1]:
            raise DatasetRefused(shown(twice[0]), "is the name of two columns")
        self._features = read_features(schema)
        self._image = _image_column(schema, self._features)
        self._label = _label_column(schema, self._features)

    def read_labels(self, max_rows: int = MOST_ENTRIES) -> Labelled:
        """Class numbers and names; text labels are sorted as text. Raises DatasetRefused, naming the row."""
        if (rows := self._file.metadata.num_rows) > max_rows:
            raise DatasetRefused("", f"has {rows} rows, at most {max_rows} are read (limit max_archive_entries)")
        found = self._read_column(self._label)
        if not found:
            raise DatasetRefused("", "has no rows")
        if None in found:
            raise DatasetRefused(f"{self._label}, row {found.index(None)}", "has no label")
        labels, classes, notes = self._numbered(found)
        declared, told = self._declared()
        others = [name for name in features_of(self._features, "ClassLabel") if name not in (self._label, SPLIT_COLUMN)]
        told += [f"the labels are those of {self._label}, not of {shown(', '.join(others))}"] if others else []
        return Labelled(labels=labels, classes=classes, declared=declared, notes=(*notes, *told))

    def read_images(self, start: int, stop: int) -> Iterator[tuple[int, bytes | Unreadable]]:
        """(row, encoded image or why there is none) of these rows, a few at a time."""
        first = 0
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if first < stop and first + rows > start:
                yield from self._images_of(group, first, start, stop)
            first += rows

    def _images_of(self, group: int, row: int, start: int, stop: int) -> Iterator[tuple[int, bytes | Unreadable]]:
        """Those of one row group, whose first row is `row`."""
        for batch in self._batches([self._image], [group]):
            skipped = min(max(0, start - row), len(batch))
            for place, value in enumerate(batch.column(0)[skipped:], start=row + skipped):
                if place >= stop:
                    return
                yield place, _encoded(value)
            row += len(batch)

    def _numbered(self, found: list[Any]) -> tuple[tuple[int, ...], tuple[str, ...], list[str]]:
        """(labels, class names, notes)."""
        if not isinstance(found[0], int):
            names = sorted(set(found))
            number = {name: label for label, name in enumerate(names)}
            told = ["class names are the labels sorted as text"]
            return tuple(number[name] for name in found), tuple(map(shown, names)), told
        given = class_names(self._features, self._label)
        given = given or (("False", "True") if isinstance(found[0], bool) else ())
        most = len(given) or MOST_CLASSES
        for row, label in enumerate(found):
            if not 0 <= label < most:
                hint = "; -1 stands for an image without a label: leave those rows out" if label == -1 else ""
                raise DatasetRefused(f"{self._label}, row {row}", f"is {label}, labels are 0..{most - 1}{hint}")
        classes = given or tuple(str(label) for label in range(max(found) + 1))
        return tuple(map(int, found)), classes, []

    def _declared(self) -> tuple[Declared | None, list[str]]:
        """What a column `split` of words says of the rows, and notes."""
        schema = self._file.schema_arrow
        if SPLIT_COLUMN not in schema.names:
            return None, []
        names = class_names(self._features, SPLIT_COLUMN)
        found = [
            names[value] if isinstance(value, int) and 0 <= value < len(names) else str(value)
            for value in self._read_column(SPLIT_COLUMN)
        ]
        roles, words = roles_of(set(found)), sorted(set(found))
        if set(roles) == set(words) and Role.TRAIN in roles.values():
            return declared_by(found, roles), []
        return None, [f"the column split was ignored: its values are {shown(', '.join(words[:5]))}"]

    def _read_column(self, name: str) -> list[Any]:
        groups = range(self._file.num_row_groups)
        return [value for batch in self._batches([name], groups) for value in batch.column(0).to_pylist()]

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


def _image_column(schema: pa.Schema, features: Mapping[str, Any]) -> str:
    encoded = [field.name for field in schema if _is_encoded(field.type)]
    named = [name for name in (*IMAGE_COLUMNS, *features_of(features, "Image")) if name in schema.names]
    if not named and len(encoded) != 1:
        raise DatasetRefused("", f"has no image column ({' or '.join(IMAGE_COLUMNS)}); {_columns(schema)}")
    name = named[0] if named else encoded[0]
    if name not in encoded:
        kind = shown(str(schema.field(name).type))
        raise DatasetRefused(
            name, f"holds {kind}, not encoded images (struct<bytes: binary, path: string>); embed the images"
        )
    return str(name)


def _is_encoded(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_bytes(kind.field("bytes").type)
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return any(is_of(kind) for is_of in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))


def _encoded(value: pa.Scalar) -> bytes | Unreadable:
    content = value["bytes"] if value.is_valid and pa.types.is_struct(value.type) else value
    if not content.is_valid:
        path = value.as_py().get("path") if value.is_valid else None
        only = f" but only the path {shown(str(path))}: write the file with the images embedded" if path else ""
        return Unreadable(f"has no image bytes{only}")
    size = content.as_buffer().size
    if size > MOST_IMAGE_BYTES:
        return Unreadable(f"has {size} bytes, at most {MOST_IMAGE_BYTES} are read")
    return bytes(content.as_py())


def _label_column(schema: pa.Schema, features: Mapping[str, Any]) -> str:
    classed = [name for name in features_of(features, "ClassLabel") if name in schema.names and name != SPLIT_COLUMN]
    named = [name for name in LABEL_COLUMNS if name in schema.names] or classed
    if not named:
        raise DatasetRefused("", f"has no label column ({' or '.join(LABEL_COLUMNS)}); {_columns(schema)}")
    kind = schema.field(named[0]).type
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not any(is_of(values) for is_of in _LABELS):
        raise DatasetRefused(named[0], f"is a column of {shown(str(kind))}; labels are integers or text")
    return str(named[0])


def _columns(schema: pa.Schema) -> str:
    return f"its columns are {', '.join(shown(name) for name in schema.names[:20])}"


def _first_line(error: Exception) -> str:
    return shown((str(error).splitlines() or [type(error).__name__])[0])
