"""How long a zip of 10,000 small JPEGs, one folder per class, takes until it is ready to train on; one JSON line.

`python -m benchmarks.dataset_decode 224` takes images of 224 x 224 pixels instead of 64 x 64.
"""

import io
import json
import os
import resource
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from adapt.data.decoding import DecodingLimits, decode_listed, list_images, load_decoded

IMAGES, CLASSES, SIDE = 10_000, 10, 64


def write_zip(path: Path, side: int, images: int = IMAGES) -> None:
    """JPEGs of side x side pixels, smooth as photographs are, so that they have a photograph's size."""
    rng = np.random.default_rng(0)
    blocks = side // 8
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number in range(images):
            coarse = Image.fromarray(rng.integers(0, 256, (blocks, blocks, 3), dtype=np.uint8))
            buffer = io.BytesIO()
            coarse.resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
            archive.writestr(f"class{number % CLASSES}/{number:05}.jpg", buffer.getvalue())


def main() -> None:
    side = int(sys.argv[1]) if len(sys.argv) > 1 else SIDE
    workers = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="netadapt-bench-") as name:
        folder, upload = Path(name), Path(name) / "images.zip"
        write_zip(upload, side)
        limits = DecodingLimits(workers=workers)
        start = time.perf_counter()
        list_images(upload, "zip", folder, limits)
        listed = time.perf_counter() - start
        decoded = decode_listed(folder, limits)
        ready = time.perf_counter() - start
        used, facts = resource.getrusage(resource.RUSAGE_CHILDREN), decoded.facts
        data = load_decoded(
            folder / "images.npy",
            folder / "labels.npy",
            name="bench",
            origin="zip",
            classes=facts.classes,
            splits=facts.splits,
        )
        figures = {
            "benchmark": "dataset_decode",
            "images": IMAGES,
            "side": side,
            "zip_bytes": upload.stat().st_size,
            "train": len(data.train),
            "test": len(data.test),
            "cores": workers,
            "listed_seconds": round(listed, 2),
            "ready_seconds": round(ready, 2),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
            "load_average": round(os.getloadavg()[0], 1),
            "bar_seconds": 30,
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
