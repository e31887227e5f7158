"""Which format an upload of labelled images is in, by its first bytes: nothing is parsed."""

from pathlib import Path

from adapt.errors import DatasetRefused

FORMATS = ("npz", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "parquet")
_PACKED = {b"\x1f\x8b": "tar.gz", b"BZh": "tar.bz2", b"\xfd7zXZ\x00": "tar.xz", b"(\xb5/\xfd": "tar.zst"}
_PICTURES = "is one picture, no data set: send a zip or a tar of one folder per class"
_OTHERS = {
    b"Rar!": "is a rar archive: pack the folders as a zip or a tar",
    b"7z\xbc\xaf": "is a 7z archive: pack the folders as a zip or a tar",
    b"\x93NUMPY": "is a single array (.npy): write images and labels into one file with numpy.savez",
    b"\x89HDF": "is an HDF5 file: write its arrays into one file with numpy.savez",
    b"\x80": "may be a pickle, which is never opened: write its arrays into one file with numpy.savez",
    b"\xff\xd8\xff": _PICTURES,
    b"\x89PNG": _PICTURES,
    b"GIF8": _PICTURES,
    b"PK\x05\x06": "is an empty zip archive",
}


def sniff_format(path: Path) -> str:
    """One of FORMATS; a zip whose first entry is an array is an npz. Raises DatasetRefused."""
    with path.open("rb") as file:
        start = file.read(1024)
    if start.startswith(b"PK\x03\x04"):
        name = start[30 : 30 + int.from_bytes(start[26:28], "little")]
        return "npz" if name.endswith(b".npy") else "zip"
    if start.startswith(b"PAR1"):
        return "parquet"
    if start[257:262] == b"ustar":
        return "tar"
    for magic, kind in _PACKED.items():
        if start.startswith(magic):
            return kind
    for magic, why in _OTHERS.items():
        if start.startswith(magic):
            raise DatasetRefused("", why)
    raise DatasetRefused(
        "", "is not an .npz file, no zip or tar of one folder per class, and no .parquet file with images and labels"
    )
