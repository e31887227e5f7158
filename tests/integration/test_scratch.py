"""Temporary files live under one roof; what a killed process left there goes, and nobody else's."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.scratch import (
    DataFolderRefused,
    ScratchFolder,
    check_data_folder,
    scratch_for_this_process,
    sweep_scratch,
)
from app.settings import Settings

OPEN_AND_WAIT = """
import sys, tempfile, subprocess
from pathlib import Path
from app.scratch import scratch_for_this_process
with scratch_for_this_process(Path(sys.argv[1]), "long") as folder:
    inside = tempfile.mkdtemp(prefix="netadapt-executor-")
    child = [sys.executable, "-c", "import tempfile; print(tempfile.gettempdir())"]
    print(subprocess.run(child, capture_output=True, text=True).stdout.strip())
    print(folder, flush=True)
    print(inside, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(roof: Path) -> Iterator[tuple["subprocess.Popen[str]", list[Path]]]:
    """With where its children's temporary files go, its folder, and a temporary folder that it made."""
    command = [sys.executable, "-c", OPEN_AND_WAIT, str(roof)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, [Path(process.stdout.readline().strip()) for _ in range(3)]
        finally:
            process.kill()


def test_what_a_killed_process_left_is_swept_and_a_living_one_keeps_its_own(tmp_path: Path) -> None:
    with another_process(tmp_path) as (killed, (of_children, folder, inside)), another_process(tmp_path) as (_, living):
        assert of_children == folder
        assert inside.parent == folder
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert inside.is_dir()
        assert sweep_scratch(tmp_path) == [folder.name]
        assert not folder.exists()
        assert living[2].is_dir()
        assert sweep_scratch(tmp_path) == []


def test_opening_a_folder_sweeps_first_and_closing_it_leaves_nothing(tmp_path: Path) -> None:
    with another_process(tmp_path) as (killed, (_, folder, _inside)):
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        mine = ScratchFolder(tmp_path, "api")
        assert not folder.exists()
    (mine.path / "upload").write_bytes(b"half")
    assert mine.path.stat().st_mode & 0o777 == 0o700
    mine.close()
    assert list(tmp_path.iterdir()) == []


def test_a_process_has_its_temporary_files_in_its_folder_only_as_long_as_it_is_open(tmp_path: Path) -> None:
    before = tempfile.gettempdir()
    with scratch_for_this_process(tmp_path, "long") as folder:
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(folder)
    assert tempfile.gettempdir() == before


def test_many_may_open_close_and_sweep_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def come_and_go() -> None:
        try:
            for _ in range(50):
                folder = ScratchFolder(tmp_path, "api")
                (folder.path / "file").write_bytes(b"mine")
                sweep_scratch(tmp_path)
                assert (folder.path / "file").read_bytes() == b"mine"
                folder.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(tmp_path.iterdir()) == []


def test_the_roof_is_in_the_data_folder(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).scratch_dir == tmp_path / "scratch"


def test_a_data_folder_that_is_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(DataFolderRefused, match="--data-dir"):
        check_data_folder(tmp_path / "data")
