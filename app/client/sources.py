"""What a user hands in as a network or a data set: a file on this machine, or the id of something at the service."""

import os
import re
from pathlib import Path

from app.client.errors import NetAdaptError

SUFFIXES = frozenset({".pt2", ".onnx", ".safetensors", ".npz", ".zip", ".tar", ".gz", ".tgz", ".parquet", ".json"})
ID = re.compile(r"(mdl|dst|tgt|job)_\w+")


def local_file(source: str | Path) -> Path | None:
    """The file that `source` means, or None when it is an id or a reserved name.

    A `Path`, an existing file, a known suffix or a folder in front all mean a file.
    Raises NetAdaptError when it means a file and there is none.
    """
    if isinstance(source, str) and ID.fullmatch(source):
        return None
    path = Path(source)
    if path.is_file():
        return path
    if isinstance(source, Path) or path.suffix.lower() in SUFFIXES or os.sep in source or "/" in source:
        what = "is a folder, not a file" if path.is_dir() else "no such file"
        raise NetAdaptError({"title": "No such file", "detail": f"{source}: {what}"})
    return None
