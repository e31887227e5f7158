"""Whether a GPU that networks could be trained on may be here: asked without torch, which the service never loads."""

from pathlib import Path

DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # of Linux, and of Linux inside Windows


def driver_is_here() -> bool:
    return any(path.exists() for path in DRIVERS)
