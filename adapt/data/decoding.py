"""Images of an archive or a .parquet file decoded once, in parallel child processes, to plain arrays in a folder."""

import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapt.child_process import ChildEnded, ChildLimits, more_memory, run_in_child
from adapt.data.concluding import Decoded, conclude
from adapt.data.dataset import Dataset, Part
from adapt.data.inspection import PRIVATE_BYTES
from adapt.data.listing import Listing, read_listing
from adapt.data.members import MOST_ENTRIES
from adapt.data.splits import Role
from adapt.data.unpacking import MOST_EXPANSION
from adapt.errors import DatasetRefused, NotEnoughData, Stopped
from adapt.stop import Stop, never

LARGEST_SIDE = 320  # pixels of the stored images' shorter side: what networks take, and room for a crop
IMAGES_A_CHILD = 2500
MODULE = "adapt.data.decoding_process"
_ERRORS = {"dataset": DatasetRefused, "images": NotEnoughData}


@dataclass(frozen=True, kw_only=True)
class DecodingLimits:
    """`max_bytes` bounds what an archive unpacks to, and the pixels that are kept. Each child has `seconds`, half of
    them of CPU, and beside that a second of CPU per image; and `private_bytes` of memory beside what it maps."""

    max_bytes: int = 8 << 30
    max_entries: int = MOST_ENTRIES
    max_expansion: int = MOST_EXPANSION
    private_bytes: int = PRIVATE_BYTES
    seconds: float = 600.0
    workers: int = 1

    def of_child(self, images: int) -> ChildLimits:
        return ChildLimits(
            memory_bytes=self.private_bytes + (2 << 30) + 3 * self.max_bytes,
            private_bytes=self.private_bytes,
            cpu_s=int(self.seconds / 2) + images,
            wall_s=self.seconds + 4 * images,
        )


def list_images(
    path: Path,
    kind: str,
    folder: Path,
    limits: DecodingLimits,
    *,
    stop: Stop = never,
    lock_directory: Path | None = None,
) -> int:
    """How many images the upload has, once its directory and labels are found sound; `folder` then has the listing.

    `kind` is one of sniffing.FORMATS but npz; for the rest see `decode_listed`. Raises DatasetRefused, NotEnoughData
    and Stopped.
    """
    given = {
        **{"path": str(path.resolve()), "kind": kind, "folder": str(folder.resolve())},
        **{"max_bytes": limits.max_bytes, "max_entries": limits.max_entries, "max_expansion": limits.max_expansion},
    }
    return int(_run("list", given, limits.of_child(0), stop, lock_directory)["images"])


def decode_listed(
    folder: Path, limits: DecodingLimits, *, stop: Stop = never, lock_directory: Path | None = None
) -> Decoded:
    """Decodes what `list_images` listed. Raises DatasetRefused, NotEnoughData and Stopped.

    With `lock_directory` the children share the machine's lock as training does, image by image: decoding would
    disturb a measurement, and a measurement need not wait for more than the image at hand.
    """
    listing = read_listing(folder)

    def in_pieces(step: str, more: dict[str, Any]) -> list[dict[str, Any]]:
        return _in_pieces(step, listing, folder, more, limits, stop, lock_directory)

    surveys = in_pieces("survey", {})
    sizes: Counter[tuple[int, int]] = Counter()
    for survey in surveys:
        sizes.update({(height, width): count for height, width, count in survey["sizes"]})
    if not sizes:
        raise DatasetRefused("", f"none of its {len(listing.labels)} images can be decoded: {surveys[0]['first']}")
    grey = sum(survey["grey"] for survey in surveys) == sum(sizes.values())
    shape = _stored_shape(sizes, 1 if grey else 3, len(listing.labels), limits.max_bytes)
    count = len(listing.labels)
    np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=(count, *shape))
    np.save(folder / "digests.npy", np.zeros(count, dtype=np.uint64))
    pieces = in_pieces("decode", {"shape": shape})
    return conclude(listing, folder, sizes, shape, pieces)


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
    classed, roles = np.load(labels, allow_pickle=False)
    readable = classed >= 0
    parts = {role: Part(images=pool, labels=classed, rows=np.flatnonzero(readable & (roles == role))) for role in Role}
    return Dataset(
        name=name,
        origin=origin,
        train=parts[Role.TRAIN],
        holdout=parts[Role.HOLDOUT] if len(parts[Role.HOLDOUT]) else None,
        test=parts[Role.TEST],
        classes=classes,
        splits=splits,
        notes=notes,
    )


def _in_pieces(
    step: str,
    listing: Listing,
    folder: Path,
    more: dict[str, Any],
    limits: DecodingLimits,
    stop: Stop,
    lock_directory: Path | None,
) -> list[dict[str, Any]]:
    count = len(listing.labels)
    each = max(1, min(max(IMAGES_A_CHILD, -(-count // 64)), -(-count // limits.workers)))

    def one(start: int) -> dict[str, Any]:
        if stop():
            raise Stopped
        given = {"folder": str(folder.resolve()), "start": start, "stop": min(start + each, count), **more}
        return _run(step, given, limits.of_child(each), stop, lock_directory)

    with ThreadPoolExecutor(limits.workers) as pool:  # each thread only waits for its child
        return list(pool.map(one, range(0, count, each)))


def _run(
    step: str, given: dict[str, Any], limits: ChildLimits, stop: Stop, lock_directory: Path | None
) -> dict[str, Any]:
    lock = "" if lock_directory is None else str(lock_directory.resolve())
    try:
        outcome = run_in_child(MODULE, [lock, step, json.dumps(given)], limits, stop=stop)
    except ChildEnded as error:
        raise DatasetRefused("", error.why) from error
    if outcome["kind"] in _ERRORS:
        raise _ERRORS[outcome["kind"]](*outcome["arguments"])
    if outcome["kind"] == "memory":
        raise DatasetRefused("", f"reading it takes {more_memory(limits)}")
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
