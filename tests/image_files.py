"""Archives of images for tests, good and bad."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


def encoded(mode: str = "RGB", size: tuple[int, int] = (12, 10), kind: str = "PNG", **options: Any) -> bytes:
    """A random image of (width, height)."""
    pixels = RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def folders(classes: int = 3, each: int = 6, prefix: str = "", **options: Any) -> dict[str, bytes]:
    """{"class0/0.png": ...}"""
    return {f"{prefix}class{k}/{n}.png": encoded(**options) for k in range(classes) for n in range(each)}


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path
