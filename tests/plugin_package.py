"""A tiny package as pip would have installed it: a module, its metadata and its entry points in a folder."""

from collections.abc import Mapping
from pathlib import Path


def install(
    folder: Path, name: str, module: str, entry_points: Mapping[str, Mapping[str, str]] | str, version: str = "1.0"
) -> Path:
    """`entry_points`: group -> name -> object, or the text of the file itself. Returns `folder`."""
    (folder / f"{name.replace('-', '_')}.py").write_text(module)
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if not isinstance(entry_points, str):
        groups = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items())
            for group, rows in entry_points.items()
        ]
        entry_points = "\n".join(groups)
    (metadata / "entry_points.txt").write_text(entry_points)
    return folder
