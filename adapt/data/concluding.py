"""What is to be said of a data set once its images are decoded: facts, notes, a report; or why it is refused."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapt.data.arrays import Labels
from adapt.data.counting import check_enough, counts_by_class, describe_splits, notes_on_classes
from adapt.data.duplicates import find_duplicates, notes_on
from adapt.data.inspection import DatasetFacts
from adapt.data.listing import Listing
from adapt.data.report import Statistics, describe_sizes, write_sample
from adapt.data.splits import Role
from adapt.errors import DatasetRefused, NotEnoughData

MOST_NAMED = 5
MOST_UNREADABLE = 0.05
"""Of the images: with more that cannot be decoded the data set is refused."""
_CONVERTED = {
    "grey": "grey: given three equal channels",
    "alpha": "with an alpha channel or transparency: it was dropped",
    "palette": "with a palette: turned to plain colour",
    "sixteen": "of 16 bits: the upper 8 are kept",
    "cmyk": "in CMYK: turned to RGB",
    "several": "of several pictures (animated, or pages): the first is taken",
    "turned": "turned as their EXIF orientation says",
}


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """In the folder now: images.npy [n, H, W, C] uint8, labels.npy [2, n] (class, -1 where unreadable; splits.Role),
    sample.npy [k, h, w, C], the thumbnails."""

    facts: DatasetFacts
    report: dict[str, Any]


def conclude(
    listing: Listing,
    folder: Path,
    sizes: Counter[tuple[int, int]],
    shape: tuple[int, int, int],
    pieces: list[dict[str, Any]],
) -> Decoded:
    """Writes labels.npy and sample.npy. `sizes` are those of the images as they were sent, `shape` is [H, W, C] of
    images.npy, `pieces` what the children said of theirs.

    Raises DatasetRefused and NotEnoughData for what too many damaged images leave.
    """
    labels, unreadable = _read_labels(listing, pieces)
    parts = {role: labels[0, (labels[0] >= 0) & (labels[1] == role)] for role in Role}
    _check_parts(parts, listing)
    np.save(folder / "labels.npy", labels, allow_pickle=False)
    images, digests = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "digests"))
    counts, duplicates = counts_by_class(parts, listing.classes), find_duplicates(digests, labels[0], labels[1])
    statistics = Statistics.of_histogram(np.sum([piece["histogram"] for piece in pieces], axis=0))
    facts = DatasetFacts(
        classes=tuple(listing.classes),
        counts=counts,
        image_shape=shape,
        splits=describe_splits(parts, test_from=listing.test_from, holdout_from=listing.holdout_from),
        notes=(
            *listing.notes,
            *notes_on_classes(counts),
            *_notes_on(unreadable, len(listing.labels)),
            *notes_on(duplicates),
            *_told(pieces, shape),
        ),
    )
    report = {
        "sizes": describe_sizes(sizes),
        "channel_mean": statistics.mean,
        "channel_std": statistics.std,
        "unreadable": unreadable,
        "duplicates": asdict(duplicates),
        "thumbnails": write_sample(images, labels[0], folder / "sample.npy"),
    }
    return Decoded(facts=facts, report=report)


def _read_labels(listing: Listing, pieces: list[dict[str, Any]]) -> tuple[Labels, dict[str, Any]]:
    """[2, n] for labels.npy, and what could not be read. Raises DatasetRefused where that is too much."""
    labels = np.array([listing.labels, listing.roles], dtype=np.int64)
    failed = [position for piece in pieces for position in piece["failed"]]
    named = [f"{name}: {why}" for piece in pieces for name, why in piece["named"]][:MOST_NAMED]
    labels[0, failed] = -1
    share = len(failed) / len(listing.labels)
    if share > MOST_UNREADABLE:
        raise DatasetRefused(
            "",
            f"{len(failed)} of {len(listing.labels)} images ({share:.0%}) cannot be decoded, at most "
            f"{MOST_UNREADABLE:.0%} may be; the first are {'; '.join(named)}",
        )
    return labels, {"count": len(failed), "first": named}


def _check_parts(parts: Mapping[Role, Labels], listing: Listing) -> None:
    why = "two readable training images are the least"
    check_enough(parts[Role.TRAIN], np.array(listing.labels), listing.classes, 2, why, of="readable training image")
    if not len(parts[Role.TEST]):
        raise NotEnoughData(listing.test_from, "has no readable image, and accuracy is reported on it")


def _notes_on(unreadable: dict[str, Any], images: int) -> Iterator[str]:
    if unreadable["count"]:
        named = "; ".join(unreadable["first"])
        yield f"{unreadable['count']} of {images} images cannot be decoded and were left out: {named}"


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
