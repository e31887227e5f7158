"""Images of an archive or a .parquet file decoded once, in parallel child processes, to plain arrays in a folder."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapt.child_process import ChildEnded, ChildLimits, run_in_child
from adapt.data.dataset import Dataset, Part
from adapt.data.inspection import PRIVATE_BYTES, DatasetFacts
from adapt.data.listing import Listing, check_enough, read_listing
from adapt.data.report import Statistics, describe_sizes, write_sample
from adapt.errors import DatasetRefused, NotEnoughData, Stopped
from adapt.latency.machine_lock import MachineLock

MOST_UNREADABLE = 0.05
"""Of the images: with more that cannot be decoded the data set is refused."""
LARGEST_SIDE = 320  # pixels of the stored images' shorter side: what networks take, and room for a crop
IMAGES_A_CHILD = 2500
MODULE = "adapt.data.decoding_process"
_ERRORS = {"dataset": DatasetRefused, "images": NotEnoughData}
_CONVERTED = {
    "grey": "grey: given three equal channels",
    "alpha": "with an alpha channel or transparency: it was dropped",
    "palette": "with a palette: turned to plain colour",
    "sixteen": "of 16 bits: the upper 8 are kept",
    "cmyk": "in CMYK: turned to RGB",
    "turned": "turned as their EXIF orientation says",
}


@dataclass(frozen=True, kw_only=True)
class DecodingLimits:
    """`max_bytes` bounds what an archive unpacks to, and the pixels that are kept. Per image there is a second of
    CPU; a child takes at most `inspection.PRIVATE_BYTES` beside what it maps."""

    max_bytes: int = 8 << 30
    workers: int = 1

    def of_child(self, images: int) -> ChildLimits:
        return ChildLimits(memory_bytes=(4 << 30) + 3 * self.max_bytes, cpu_s=60 + images, wall_s=300.0 + 4 * images)


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """In the folder now: images.npy [n, H, W, C] uint8, labels.npy [2, n] (class, -1 where unreadable; 1 for test),
    sample.npy [k, h, w, C], the thumbnails."""

    facts: DatasetFacts
    report: dict[str, Any]


def list_images(path: Path, kind: str, folder: Path, limits: DecodingLimits) -> int:
    """How many images the upload has, once its directory and labels are found sound; `folder` then has the listing.

    `kind` is zip, tar, tar.gz or parquet. Raises DatasetRefused or NotEnoughData.
    """
    given = {"path": str(path.resolve()), "kind": kind, "folder": str(folder.resolve()), "max_bytes": limits.max_bytes}
    return int(_run("list", given, limits.of_child(300))["images"])


def decode_listed(
    folder: Path, limits: DecodingLimits, stop: Callable[[], bool], *, lock: MachineLock | None = None
) -> Decoded:
    """Decodes what `list_images` listed. Raises DatasetRefused, NotEnoughData, and Stopped between two pieces.

    `lock` is held, as training holds it, during each piece: decoding would disturb a measurement.
    """
    listing = read_listing(folder)

    def in_pieces(step: str, more: dict[str, Any]) -> list[dict[str, Any]]:
        return _in_pieces(step, listing, folder, more, limits, stop, lock)

    surveys = in_pieces("survey", {})
    sizes: Counter[tuple[int, int]] = Counter()
    for survey in surveys:
        sizes.update({(height, width): count for height, width, count in survey["sizes"]})
    if not sizes:
        raise DatasetRefused(
            "", f"none of its {len(listing.labels)} images can be decoded; the first is {_first_name(listing)}"
        )
    grey = sum(survey["grey"] for survey in surveys) == sum(sizes.values())
    shape = _stored_shape(sizes, 1 if grey else 3, len(listing.labels), limits.max_bytes)
    np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=(len(listing.labels), *shape))
    pieces = in_pieces("decode", {"shape": shape})
    return _finish(listing, folder, sizes, shape, pieces)


def load_decoded(
    images: Path,
    labels: Path,
    *,
    name: str,
    origin: str,
    classes: tuple[str, ...],
    splits: Mapping[str, int | str],
    notes: tuple[str, ...] = (),
) -> Dataset:
    """The data set in two files that `decode_listed` wrote; the images are mapped."""
    # By name, not by Path: the map then remembers the name that it was given, a link that ends with .npy.
    pool = np.load(str(images), mmap_mode="r", allow_pickle=False)
    classed, test = np.load(labels, allow_pickle=False)
    readable = classed >= 0
    parts = [
        Part(images=pool, labels=classed, rows=np.flatnonzero(readable & (test == declared))) for declared in (0, 1)
    ]
    return Dataset(name=name, origin=origin, train=parts[0], test=parts[1], classes=classes, splits=splits, notes=notes)


def _in_pieces(
    step: str,
    listing: Listing,
    folder: Path,
    more: dict[str, Any],
    limits: DecodingLimits,
    stop: Callable[[], bool],
    lock: MachineLock | None,
) -> list[dict[str, Any]]:
    count = len(listing.labels)
    each = max(1, min(max(IMAGES_A_CHILD, -(-count // 64)), -(-count // limits.workers)))

    def one(start: int) -> dict[str, Any]:
        if stop():
            raise Stopped
        given = {"folder": str(folder.resolve()), "start": start, "stop": min(start + each, count), **more}
        with nullcontext() if lock is None else lock.training(stop):
            return _run(step, given, limits.of_child(each))

    with ThreadPoolExecutor(limits.workers) as pool:  # each thread only waits for its child
        return list(pool.map(one, range(0, count, each)))


def _run(step: str, given: dict[str, Any], limits: ChildLimits) -> dict[str, Any]:
    try:
        outcome = run_in_child(MODULE, [step, json.dumps(given)], limits)
    except ChildEnded as error:
        raise DatasetRefused("", error.why) from error
    if outcome["kind"] in _ERRORS:
        raise _ERRORS[outcome["kind"]](*outcome["arguments"])
    if outcome["kind"] == "memory":
        raise DatasetRefused("", f"reading it takes more than {PRIVATE_BYTES >> 20} MiB of memory")
    return outcome


def _stored_shape(sizes: Counter[tuple[int, int]], channels: int, count: int, max_bytes: int) -> tuple[int, int, int]:
    """The images' own size where all have one, else the square of their median shorter side; LARGEST_SIDE at most."""
    if len(sizes) == 1:
        ((height, width),) = sizes
    else:
        sides = np.repeat([min(size) for size in sizes], list(sizes.values()))
        height = width = int(np.median(sides))
    scale = min(1.0, LARGEST_SIDE / min(height, width), (max_bytes / (count * height * width * channels)) ** 0.5)
    return max(1, int(height * scale)), max(1, int(width * scale)), channels


def _finish(
    listing: Listing,
    folder: Path,
    sizes: Counter[tuple[int, int]],
    shape: tuple[int, int, int],
    pieces: list[dict[str, Any]],
) -> Decoded:
    labels = np.array([listing.labels, listing.test], dtype=np.int64)
    failed = [position for piece in pieces for position in piece["failed"]]
    named = [f"{name}: {why}" for piece in pieces for name, why in piece["named"]][:5]
    labels[0, failed] = -1
    share = len(failed) / len(listing.labels)
    if share > MOST_UNREADABLE:
        raise DatasetRefused(
            "",
            f"{len(failed)} of {len(listing.labels)} images ({share:.0%}) cannot be decoded, at most "
            f"{MOST_UNREADABLE:.0%} may be; the first are {'; '.join(named)}",
        )
    train = labels[0, (labels[0] >= 0) & (labels[1] == 0)]
    check_enough(train, listing.classes, 2, "two readable training images are the least")
    np.save(folder / "labels.npy", labels, allow_pickle=False)
    counts = _counts(labels, listing.classes)
    splits: dict[str, int | str] = {
        "train": len(train),
        "test": int(((labels[0] >= 0) & (labels[1] == 1)).sum()),
        "test_from": listing.test_from,
    }
    unreadable = (
        [f"{len(failed)} of {len(listing.labels)} images cannot be decoded and were left out: "] if failed else []
    )
    notes = [*listing.notes, *(text + "; ".join(named) for text in unreadable), *_told(pieces, shape)]
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    thumbnails = write_sample(images, labels[0], folder / "sample.npy")
    statistics = Statistics.of_sums(pieces)
    facts = DatasetFacts(
        classes=tuple(listing.classes), counts=counts, image_shape=shape, splits=splits, notes=tuple(notes)
    )
    report = {
        "sizes": describe_sizes(sizes),
        "channel_mean": statistics.mean,
        "channel_std": statistics.std,
        "unreadable": {"count": len(failed), "first": named},
        "thumbnails": thumbnails,
    }
    return Decoded(facts=facts, report=report)


def _counts(labels: "np.typing.NDArray[np.int64]", classes: list[str]) -> dict[str, dict[str, int]]:
    by_split = [
        np.bincount(labels[0, (labels[0] >= 0) & (labels[1] == declared)], minlength=len(classes))
        for declared in (0, 1)
    ]
    return {
        name: {"train": int(by_split[0][label]), "test": int(by_split[1][label])} for label, name in enumerate(classes)
    }


def _told(pieces: list[dict[str, Any]], shape: tuple[int, int, int]) -> Iterator[str]:
    done: Counter[str] = Counter()
    for piece in pieces:
        done.update(piece["done"])
    for name, text in _CONVERTED.items():
        if done[name]:
            yield f"{done[name]} image{'' if done[name] == 1 else 's'} {text}"
    if done["scaled"]:
        yield (
            f"{done['scaled']} images of another size were scaled (bilinear, antialiased) to cover {shape[0]} x "
            f"{shape[1]} (height x width), the size in which this data set is kept, and cropped from the centre"
        )


def _first_name(listing: Listing) -> str:
    return listing.names[0] if listing.names else "row 0"
