"""Reads images that strangers sent, inside limits: `python -m adapt.data.decoding_process`.

Arguments: address space in bytes, CPU seconds, "list" | "survey" | "decode", and that step's arguments as JSON.
"""

import json
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from adapt.child_process import limit_this_process
from adapt.data.folders import sort_into_classes
from adapt.data.inspection import PRIVATE_BYTES
from adapt.data.listing import Listing, read_listing, write_listing
from adapt.data.members import MOST_IMAGE_BYTES, MemberReader, list_members, shown, unpack_gzip
from adapt.data.pictures import Unreadable, decode, look_at
from adapt.errors import DatasetRefused, NotEnoughData

MOST_NAMED = 5


def main(arguments: list[str]) -> None:
    """Unexpected exceptions leave with a traceback on stderr and exit code 1."""
    step, text = limit_this_process(arguments)
    resource.setrlimit(resource.RLIMIT_DATA, (PRIVATE_BYTES, PRIVATE_BYTES))
    print(json.dumps(_outcome(STEPS[step], json.loads(text))))


def _outcome(step: Any, given: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"kind": "done", **step(**given)}
    except MemoryError:
        return {"kind": "memory"}
    except NotEnoughData as error:
        return {"kind": "images", "arguments": list(error.args)}
    except DatasetRefused as error:
        return {"kind": "dataset", "arguments": list(error.args)}


def list_step(path: str, kind: str, folder: str, max_bytes: int) -> dict[str, Any]:
    """Writes the listing to `folder`: which images there are, of which class. No image is opened."""
    listing = _list_parquet(path) if kind == "parquet" else _list_archive(path, kind, Path(folder), max_bytes)
    write_listing(listing, Path(folder))
    return {"images": len(listing.labels)}


def survey_step(folder: str, start: int, stop: int) -> dict[str, Any]:
    """Sizes of these images by their headers, and how many are grey; damaged ones are left to the next step."""
    sizes: Counter[tuple[int, int]] = Counter()
    grey = 0
    for _position, _name, content in _contents(read_listing(Path(folder)), start, stop):
        try:
            look = look_at(_present(content))
        except Unreadable:
            continue
        sizes[look.size] += 1
        grey += look.grey
    return {"sizes": [[height, width, count] for (height, width), count in sizes.items()], "grey": grey}


def decode_step(folder: str, start: int, stop: int, shape: list[int]) -> dict[str, Any]:
    """Writes these images' pixels to their rows of images.npy; says which could not be read, and sums of the rest."""
    listing = read_listing(Path(folder))
    height, width, channels = shape
    pool = np.load(Path(folder) / "images.npy", mmap_mode="r+", allow_pickle=False)
    done: Counter[str] = Counter()
    failed: list[int] = []
    named: list[list[str]] = []
    total, squares, counted = np.zeros(channels), np.zeros(channels), 0
    for position, name, content in _contents(listing, start, stop):
        try:
            pixels = decode(_present(content), (height, width, channels), done)
        except Unreadable as error:
            failed.append(position)
            named += [[shown(name), str(error)]] if len(named) < MOST_NAMED else []
            continue
        pool[position] = pixels
        if not listing.test[position]:
            share = pixels.reshape(-1, channels) / 255
            total, squares, counted = total + share.mean(0), squares + (share**2).mean(0), counted + 1
    pool.flush()
    sums = {"total": total.tolist(), "squares": squares.tolist(), "counted": counted}
    return {"failed": failed, "named": named, "done": dict(done), **sums}


def _list_archive(path: str, kind: str, folder: Path, max_bytes: int) -> Listing:
    archive = Path(path)
    if kind == "tar.gz":
        archive, kind = folder / "unpacked.tar", "tar"
        unpack_gzip(Path(path), archive, max_bytes=max_bytes)
    found = sort_into_classes(list_members(archive, kind, max_bytes=max_bytes))
    return Listing(
        path=str(archive),
        kind=kind,
        names=[member.name for member in found.images],
        places=[member.place for member in found.images],
        sizes=[member.size for member in found.images],
        labels=list(found.labels),
        test=[] if found.test is None else [position in found.test for position in range(len(found.images))],
        test_from=found.test_from,
        classes=list(found.classes),
        notes=list(found.notes),
    ).checked()


def _list_parquet(path: str) -> Listing:
    from adapt.data.parquet import ParquetImages  # here: it loads 50 MB of library that no archive needs

    found = ParquetImages(Path(path)).read_labels()
    return Listing(
        path=path,
        kind="parquet",
        names=[],
        places=[],
        sizes=[],
        labels=list(found.labels),
        test=[],
        test_from="a stratified 20 % of the rows, fixed",
        classes=list(found.classes),
        notes=list(found.notes),
    ).checked()


def _contents(listing: Listing, start: int, stop: int) -> Iterator[tuple[int, str, bytes | Unreadable]]:
    """(position, name, encoded image or why there is none)."""
    if listing.kind == "parquet":
        from adapt.data.parquet import ParquetImages

        for row, content in ParquetImages(Path(listing.path)).read_images(start, stop):
            yield row, f"row {row}", Unreadable("has no image bytes, or far too many") if content is None else content
        return
    with MemberReader(Path(listing.path), listing.kind) as reader:
        for position in range(start, stop):
            yield position, listing.names[position], _read(reader, listing.places[position], listing.sizes[position])


def _read(reader: MemberReader, place: int, size: int) -> bytes | Unreadable:
    if size > MOST_IMAGE_BYTES:
        return Unreadable(f"has {size} bytes, at most {MOST_IMAGE_BYTES} are read")
    try:
        return reader.read(place, size)
    except MemoryError:
        raise
    except Exception as error:  # zipfile and zlib raise a dozen kinds on broken input
        return Unreadable(str(error)[:200] or type(error).__name__)


def _present(content: bytes | Unreadable) -> bytes:
    if isinstance(content, Unreadable):
        raise content
    return content


STEPS = {"list": list_step, "survey": survey_step, "decode": decode_step}

if __name__ == "__main__":
    main(sys.argv[1:])
