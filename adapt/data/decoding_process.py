"""Reads images that strangers sent, inside limits: `python -m adapt.data.decoding_process`.

Arguments: the limits, the folder of the machine's lock or nothing, "list" | "survey" | "decode", and that step's
arguments as JSON.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from adapt.child_process import answer, limit_this_process
from adapt.data.duplicates import digest_of
from adapt.data.folders import sort_into_classes
from adapt.data.listing import AUTOMATIC_TEST, Listing, read_listing, write_listing
from adapt.data.members import MOST_IMAGE_BYTES, MemberReader, list_members, shown
from adapt.data.pictures import Unreadable, decode, look_at
from adapt.data.report import histogram_of
from adapt.data.splits import Role
from adapt.data.unpacking import PACKED_TARS, unpack_tar
from adapt.errors import DatasetRefused, NotEnoughData
from adapt.latency.machine_lock import MachineLock
from adapt.parent import wake_at_parents_end

MOST_NAMED = 5
PausePoint = Callable[[], None]


def main(arguments: list[str]) -> None:
    """Unexpected exceptions leave with a traceback on stderr and exit code 1."""
    lock, step, text = limit_this_process(arguments)
    wake_at_parents_end()
    with _sharing_machine(lock) as pause_point:
        outcome = _outcome(STEPS[step], json.loads(text), pause_point)
    answer(outcome)


@contextmanager
def _sharing_machine(lock: str) -> Iterator[PausePoint]:
    """As a trainer does: whoever wants to measure goes first at each pause point. Without a lock there is no pause."""
    if not lock:
        yield lambda: None
        return
    with MachineLock(Path(lock)).training() as hold:
        yield hold.pause_point


def _outcome(step: Any, given: dict[str, Any], pause_point: PausePoint) -> dict[str, Any]:
    try:
        return {"kind": "done", **step(**given, pause_point=pause_point)}
    except MemoryError:
        return {"kind": "memory"}
    except NotEnoughData as error:
        return {"kind": "images", "arguments": list(error.args)}
    except DatasetRefused as error:
        return {"kind": "dataset", "arguments": list(error.args)}


def list_step(
    path: str, kind: str, folder: str, max_bytes: int, max_entries: int, max_expansion: int, pause_point: PausePoint
) -> dict[str, Any]:
    """Writes the listing to `folder`: which images there are, of which class. No image is opened."""
    if kind == "parquet":
        listing = _list_parquet(path, max_entries)
    else:
        archive = Path(path)
        if kind in PACKED_TARS:
            archive = Path(folder) / "unpacked.tar"
            unpack_tar(
                Path(path), kind, archive, max_bytes=max_bytes, max_expansion=max_expansion, pause_point=pause_point
            )
            kind = "tar"
        listing = _list_archive(archive, kind, max_bytes, max_entries)
    write_listing(listing, Path(folder))
    return {"images": len(listing.labels)}


def survey_step(folder: str, start: int, stop: int, pause_point: PausePoint) -> dict[str, Any]:
    """Sizes of these images by their headers, how many are grey, and the first that is none; the next step names all
    that are damaged."""
    sizes: Counter[tuple[int, int]] = Counter()
    grey = 0
    first = ""
    for _position, name, content in _contents(read_listing(Path(folder)), start, stop):
        pause_point()
        try:
            look = look_at(_present(content))
        except Unreadable as error:
            first = first or f"{shown(name)}: {error}"
            continue
        sizes[look.size] += 1
        grey += look.grey
    return {"sizes": [[height, width, count] for (height, width), count in sizes.items()], "grey": grey, "first": first}


def decode_step(folder: str, start: int, stop: int, shape: list[int], pause_point: PausePoint) -> dict[str, Any]:
    """Writes these images' pixels to their rows of images.npy, and digests.npy; says which could not be read, and
    the histogram of the training images."""
    listing = read_listing(Path(folder))
    height, width, channels = shape
    pool = np.load(Path(folder) / "images.npy", mmap_mode="r+", allow_pickle=False)
    digests = np.load(Path(folder) / "digests.npy", mmap_mode="r+", allow_pickle=False)
    done: Counter[str] = Counter()
    failed: list[int] = []
    named: list[list[str]] = []
    histogram = np.zeros((channels, 256), dtype=np.int64)
    for position, name, content in _contents(listing, start, stop):
        pause_point()
        try:
            encoded = _present(content)
            pixels = decode(encoded, (height, width, channels), done)
        except Unreadable as error:
            failed.append(position)
            named += [[shown(name), str(error)]] if len(named) < MOST_NAMED else []
            continue
        pool[position], digests[position] = pixels, digest_of(encoded)
        if listing.roles[position] == Role.TRAIN:
            histogram += histogram_of(pixels)
    pool.flush()
    digests.flush()
    return {"failed": failed, "named": named, "done": dict(done), "histogram": histogram.tolist()}


def _list_archive(archive: Path, kind: str, max_bytes: int, max_entries: int) -> Listing:
    found = sort_into_classes(list_members(archive, kind, max_bytes=max_bytes, max_entries=max_entries))
    declared = found.declared
    return Listing(
        path=str(archive),
        kind=kind,
        names=[member.name for member in found.images],
        places=[member.place for member in found.images],
        sizes=[member.size for member in found.images],
        labels=list(found.labels),
        roles=[] if declared is None else [int(role) for role in declared.roles],
        test_from=AUTOMATIC_TEST if declared is None else declared.test_from,
        holdout_from="" if declared is None else declared.holdout_from,
        classes=list(found.classes),
        notes=list(found.notes),
    ).checked()


def _list_parquet(path: str, max_rows: int) -> Listing:
    from adapt.data.parquet import ParquetImages  # here: it loads 50 MB of library that no archive needs

    found = ParquetImages(Path(path)).read_labels(max_rows)
    declared = found.declared
    return Listing(
        path=path,
        kind="parquet",
        names=[],
        places=[],
        sizes=[],
        labels=list(found.labels),
        roles=[] if declared is None else [int(role) for role in declared.roles],
        test_from=AUTOMATIC_TEST if declared is None else declared.test_from,
        holdout_from="" if declared is None else declared.holdout_from,
        classes=list(found.classes),
        notes=list(found.notes),
    ).checked()


def _contents(listing: Listing, start: int, stop: int) -> Iterator[tuple[int, str, bytes | Unreadable]]:
    """(position, name, encoded image or why there is none)."""
    if listing.kind == "parquet":
        from adapt.data.parquet import ParquetImages

        for row, content in ParquetImages(Path(listing.path)).read_images(start, stop):
            yield row, f"row {row}", content
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
