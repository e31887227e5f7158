"""Results kept by the hash of what they follow from, so that a benchmark of an hour can be interrupted and goes on."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from adapt.checkpoint import read_safetensors
from adapt.formats.safetensors_file import write_safetensors_file
from adapt.graph.network import Network

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One result to be had: `config` (JSON values) is all that it follows from."""

    kind: str
    config: Mapping[str, Any]

    @property
    def key(self) -> str:
        text = json.dumps({"kind": self.kind, **self.config}, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A cell's result: figures (JSON values), and the network where it has one."""

    key: str
    values: Mapping[str, Any]
    path: Path

    @property
    def network(self) -> Network:
        return read_safetensors(self.path.with_suffix(".safetensors"))


@dataclass(frozen=True, kw_only=True)
class Halfway:
    """What an interrupted cell goes on from."""

    values: Mapping[str, Any]
    arrays: Arrays


class Cells:
    """A folder of them. A file is there whole or not at all; several processes may work on different cells."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def find(self, cell: Cell) -> Found | None:
        path = self._path(cell)
        if not path.exists():
            return None
        return Found(key=cell.key, values=json.loads(path.read_text())["values"], path=path)

    def store(self, cell: Cell, values: Mapping[str, Any], network: Network | None = None) -> Found:
        """The figures are written last: with them the cell is there. What it was halfway through is removed."""
        path = self._path(cell)
        if network is not None:
            beside = path.with_suffix(".safetensors.new")
            write_safetensors_file(network, beside)
            beside.replace(path.with_suffix(".safetensors"))
        _write(path, {"kind": cell.kind, "config": dict(cell.config), "values": dict(values)})
        path.with_suffix(".halfway.safetensors").unlink(missing_ok=True)
        return Found(key=cell.key, values=values, path=path)

    def keep_halfway(self, cell: Cell, values: Mapping[str, Any], arrays: Arrays) -> None:
        """In one file, or figures and arrays of different moments could be found together."""
        path = self._path(cell).with_suffix(".halfway.safetensors")
        beside = path.with_suffix(".new")
        save_file(dict(arrays), beside, metadata={"values": json.dumps(values, allow_nan=False)})
        beside.replace(path)

    def halfway(self, cell: Cell) -> Halfway | None:
        path = self._path(cell).with_suffix(".halfway.safetensors")
        if not path.exists():
            return None
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return Halfway(values=json.loads(header["__metadata__"]["values"]), arrays=load_file(path))

    def _path(self, cell: Cell) -> Path:
        return self._folder / f"{cell.kind}-{cell.key}.json"


def _write(path: Path, document: Mapping[str, Any]) -> None:
    beside = path.with_suffix(f".{os.getpid()}.new")
    beside.write_text(json.dumps(document, indent=1, allow_nan=False))
    beside.replace(path)
