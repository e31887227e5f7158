"""The fuzzer itself: whatever a reader must not do is a finding."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from adapt.errors import DatasetRefused, MeasurementFailed, NetworkRefused
from benchmarks.fuzzing.child import Watch, outcome_of
from benchmarks.fuzzing.documents import mutated_document
from benchmarks.fuzzing.formats import Format
from benchmarks.fuzzing.zips import Entry, entries_of, zip_of


def raising(error: Exception) -> Callable[[Path, Path], Any]:
    def read(_upload: Path, _room: Path) -> Any:
        raise error

    return read


def outcome(read: Callable[[Path, Path], Any], folder: Path) -> Any:
    word = outcome_of(Format(cases=1, mutated=lambda data, *_: data, read=read), b"", folder, Watch(folder))
    return json.loads(word) if word.startswith("{") else word.split()[0]


def test_what_is_read_or_refused_is_no_finding(tmp_path: Path) -> None:
    assert outcome(lambda *_: ["a text"], tmp_path) == "read"
    assert outcome(raising(NetworkRefused("a", "b")), tmp_path) == "NetworkRefused"
    assert outcome(raising(DatasetRefused("", "takes more than 5 MiB of memory")), tmp_path) == "memory"


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), MemoryError(), MeasurementFailed("a", "b")])
def test_any_other_error_is_a_finding(error: Exception, tmp_path: Path) -> None:
    assert outcome(raising(error), tmp_path)["raised"] == type(error).__name__


@pytest.mark.parametrize("stored", ["a\0b", "\ud800", "\x1b[2J", float("nan")])
def test_what_no_database_takes_is_a_finding(stored: Any, tmp_path: Path) -> None:
    assert outcome(lambda *_: [stored], tmp_path)["raised"] == "ValueError"


def test_what_is_done_outside_of_the_scratch_folder_is_a_finding(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    for act in (
        lambda *_: (outside / "file").write_text(""),
        lambda *_: os.symlink("a", outside / "link"),
        lambda *_: socket.socket().close(),
        lambda *_: subprocess.run([sys.executable, "-c", ""], check=True).returncode,
    ):
        assert outcome(act, inside)["touched"]
    assert outcome(lambda upload, room: (room / "file").write_text("") and upload.read_text(), inside) == "read"


@pytest.mark.parametrize("descriptor", [False, True])
def test_an_archive_written_without_a_fault_is_one(descriptor: bool) -> None:
    entries = [Entry(b"a", b"1" * 90, packed=True, descriptor=descriptor), Entry(b"b/c", b"", descriptor=descriptor)]
    read = [(entry.name, entry.content, entry.packed) for entry in entries_of(zip_of(entries))]
    assert read == [(b"a", b"1" * 90, True), (b"b/c", b"", False)]


def test_one_seed_gives_one_file() -> None:
    made = [mutated_document({"a": [1, "b", {"c": None}]}, Random(3)) for _ in range(2)]
    assert made[0] == made[1]
