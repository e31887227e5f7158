"""The version of this installation, as its metadata says."""

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    try:
        return version("netadapt-service")
    except PackageNotFoundError:  # run from a source folder that was never installed
        return "0+source"


VERSION = _installed()
