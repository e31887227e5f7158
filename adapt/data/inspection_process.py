"""Reads one .npz file inside limits and prints its facts: `python -m adapt.data.inspection_process`.

Arguments: the limits, upload, folder for unpacked arrays, bytes that they may take.
"""

import sys
from collections import Counter
from pathlib import Path

from adapt.child_process import answer, limit_this_process
from adapt.data.dataset import Dataset
from adapt.data.npz import load_npz
from adapt.data.report import Statistics, describe_sizes, write_sample
from adapt.errors import DatasetRefused, NotEnoughData


def main(arguments: list[str]) -> None:
    """Unexpected exceptions leave with a traceback on stderr and exit code 1."""
    upload, folder, max_bytes = limit_this_process(arguments)
    answer(_outcome(Path(upload), Path(folder), int(max_bytes)))


def _outcome(upload: Path, folder: Path, max_bytes: int) -> dict[str, object]:
    try:
        dataset = load_npz(upload, extract_to=folder, max_bytes=max_bytes)
        return {
            "kind": "read",
            "classes": dataset.classes,
            "counts": dataset.counts,
            "image_shape": dataset.image_shape,
            "splits": dict(dataset.splits),
            "notes": dataset.notes,
            "report": _report(dataset, folder),
        }
    except MemoryError:
        return {"kind": "memory"}
    except NotEnoughData as error:
        return {"kind": "images", "arguments": list(error.args)}
    except DatasetRefused as error:
        return {"kind": "dataset", "arguments": list(error.args)}


def _report(dataset: Dataset, folder: Path) -> dict[str, object]:
    height, width, _channels = dataset.image_shape
    statistics = Statistics.of_part(dataset.train)
    return {
        "sizes": describe_sizes(Counter({(height, width): len(dataset.train) + len(dataset.test)})),
        "channel_mean": statistics.mean,
        "channel_std": statistics.std,
        "unreadable": {"count": 0, "first": []},
        "thumbnails": write_sample(dataset.train.images, dataset.train.labels, folder / "sample.npy"),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
