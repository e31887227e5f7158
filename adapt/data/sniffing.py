"""Which format an upload of labelled images is in, by its first bytes: nothing is parsed."""

from pathlib import Path

from adapt.errors import DatasetRefused

FORMATS = ("npz", "zip", "tar", "tar.gz", "parquet")
_OTHERS = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"Rar!": "rar", b"7z\xbc\xaf": "7z", b"(\xb5/\xfd": "zstd"}


def sniff_format(path: Path) -> str:
    """One of FORMATS; a zip whose first entry is an array is an npz. Raises DatasetRefused."""
    with path.open("rb") as file:
        start = file.read(1024)
    if start.startswith(b"PK\x03\x04"):
        name = start[30 : 30 + int.from_bytes(start[26:28], "little")]
        return "npz" if name.endswith(b".npy") else "zip"
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"\x1f\x8b"):
        return "tar.gz"
    if start[257:262] == b"ustar":
        return "tar"
    for magic, kind in _OTHERS.items():
        if start.startswith(magic):
            raise DatasetRefused("", f"is not an .npz or another format that is read, but {kind}: send a zip or a tar")
    raise DatasetRefused(
        "", "is not an .npz file, no zip or tar of one folder per class, and no .parquet file with images and labels"
    )
