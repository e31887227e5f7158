"""A file of labelled images, in whichever format, opened in this process: for `netadapt.run`."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.data.dataset import Dataset
from adapt.data.decoding import DecodingLimits, decode_listed, list_images, load_decoded
from adapt.data.npz import load_npz
from adapt.data.sniffing import sniff_format


@contextmanager
def opened_dataset(path: Path) -> Iterator[Dataset]:
    """The data set in an .npz, zip, tar, tar.gz or .parquet file while the block lasts: pixels lie in a temporary
    folder. Raises DatasetRefused or NotEnoughData."""
    kind = sniff_format(path)
    with tempfile.TemporaryDirectory(prefix="netadapt-data-") as name:
        folder = Path(name)
        if kind == "npz":
            yield load_npz(path, extract_to=folder)
            return
        limits = DecodingLimits(workers=len(os.sched_getaffinity(0)))
        list_images(path, kind, folder, limits)
        facts = decode_listed(folder, limits).facts
        images, labels = folder / "images.npy", folder / "labels.npy"
        yield load_decoded(
            images, labels, name=path.stem, origin=kind, classes=facts.classes, splits=facts.splits, notes=facts.notes
        )


@contextmanager
def opened_arrays(arrays: Mapping[str, NDArray[Any]]) -> Iterator[Dataset]:
    """The same of arrays in memory, by the names that they have in an .npz file: read as if they had come in one."""
    with tempfile.TemporaryDirectory(prefix="netadapt-data-") as name:
        path = Path(name) / "arrays.npz"
        held: dict[str, Any] = {key: np.asarray(array) for key, array in arrays.items()}
        np.savez(path, **held)
        yield load_npz(path, extract_to=Path(name))
