"""Folders for files that live no longer than their process, under one roof; a killed process's folder is swept.

Whether a process lives is not guessed from a time or a process number: it holds its folder's lock file, which the
kernel lets go of with the process, even by kill -9.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"


class DataFolderRefused(Exception):
    """Nothing can be written there; `why` is the system's own word."""

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(folder, why)
        self.folder, self.why = folder, why

    def __str__(self) -> str:
        return (
            f"the data folder {self.folder} cannot be written ({self.why}): "
            "make it writable for this user, or name another with --data-dir"
        )


def check_data_folder(folder: Path) -> None:
    """Makes the folder where it is missing. Raises DataFolderRefused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise DataFolderRefused(folder, error.strerror or str(error)) from error


class ScratchFolder:
    """`path` is a folder of this object's own until `close`. Opening one sweeps what killed processes left behind."""

    def __init__(self, roof: Path, label: str) -> None:
        """Raises OSError when nothing can be written under `roof`."""
        roof.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep_scratch(roof)
        self._descriptor, self._lock = _hold_new(roof, label)
        self.path = self._lock.with_suffix("")
        self.path.mkdir(mode=0o700)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.unlink(missing_ok=True)
        os.close(self._descriptor)


@contextmanager
def scratch_for_this_process(roof: Path, label: str) -> Iterator[Path]:
    """A scratch folder that is also where this process and those it starts make their temporary files."""
    folder = ScratchFolder(roof, label)
    before, before_in_environment = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder.path)
    try:
        yield folder.path
    finally:
        tempfile.tempdir = before
        if before_in_environment is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before_in_environment
        folder.close()


def sweep_scratch(roof: Path) -> list[str]:
    """Removes the folders whose owners are gone, and says which. Several may sweep at once."""
    gone = []
    for lock in roof.glob(f"*{LOCK}"):
        try:
            descriptor = os.open(lock, os.O_RDWR)
        except FileNotFoundError:
            continue  # closed, or swept by another, in this moment
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
            gone.append(lock.stem)
        except BlockingIOError:
            continue  # its owner lives
        finally:
            os.close(descriptor)
    return gone


def _hold_new(roof: Path, label: str) -> tuple[int, Path]:
    """A new lock file, held. Whoever sweeps may take it for abandoned before it is held: then another is made."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=f"{label}-", suffix=LOCK, dir=roof)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if Path(name).stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor, Path(name)
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
