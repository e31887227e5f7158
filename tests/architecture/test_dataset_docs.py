"""docs/datasets.md says what the code does: every limit and every kind of file that is read."""

from pathlib import Path

import pytest

from adapt.data import (
    concluding,
    decoding,
    folders,
    listing,
    members,
    npz_archive,
    parquet,
    pictures,
    report,
    sniffing,
    unpacking,
)
from adapt.data.listing import MOST_CLASSES
from app.datasets.repository import REFUSAL_SHOWN_S
from app.datasets.service import IntakeLimits
from app.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
AT_ONCE = IntakeLimits.images_at_once
FREE_MIB = unpacking.FREELY_UNPACKED_BYTES >> 20
LIMITS = {
    "share of images that may be unreadable": f"{concluding.MOST_UNREADABLE:.0%}".replace("%", " %"),
    "bytes that a file unpacks to, and pixels kept of it": f"{DEFAULTS['max_unpacked_bytes'] >> 30} GiB",
    f"packed tar: times its size, once beyond {FREE_MIB} MiB": f"{DEFAULTS['max_expansion']}",
    "entries of an archive, rows of a parquet file": f"{DEFAULTS['max_archive_entries']:,}",
    "bytes of one encoded image": f"{members.MOST_IMAGE_BYTES >> 20} MiB",
    "pixels of one image": f"{pictures.MOST_PIXELS // 10**6} million",
    "characters of an entry's name": f"{members.MOST_NAME_CHARACTERS:,}",
    "classes": f"{MOST_CLASSES:,}",
    "arrays in an .npz file": f"{npz_archive.MOST_ENTRIES}",
    "memory of the process that reads it, beside mapped files": f"{DEFAULTS['max_read_memory_bytes'] >> 30} GiB",
    "decoded while you wait": f"{AT_ONCE:,} images and {IntakeLimits.bytes_at_once >> 20} MiB at most",
    "thumbnails of a report": f"{report.THUMBNAILS}",
}


def table_rows() -> dict[str, str]:
    cells = [line.strip("|").split("|") for line in TEXT.splitlines() if line.startswith("|")]
    return {row[0].strip(): row[1].strip() for row in cells if len(row) == 2}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_in_the_docs_is_the_codes(limit: str) -> None:
    assert table_rows()[limit] == LIMITS[limit]


def test_every_kind_of_file_and_image_and_column_that_is_read_is_named() -> None:
    named = [f".{kind}" for kind in sniffing.FORMATS] + list(folders.READ)
    named += [*parquet.IMAGE_COLUMNS, *parquet.LABEL_COLUMNS, parquet.SPLIT_COLUMN]
    assert [name for name in named if f"`{name}`" not in TEXT] == []


def test_the_other_figures_of_the_docs_are_the_codes() -> None:
    assert f"at most {decoding.LARGEST_SIDE} pixels on the shorter side" in TEXT
    assert f"a stratified {listing.TEST_SHARE:.0%}".replace("%", " %") in TEXT
    assert REFUSAL_SHOWN_S == 24 * 3600
    assert "a day (or until it is deleted)" in TEXT
