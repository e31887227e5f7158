"""A child process that cannot notice its parent's end because it is halted: the kernel wakes it then."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def wake_at_parents_end() -> None:
    """SIGCONT, when the process that started this one is gone, even by kill -9; to one that runs it means nothing.

    A child notices by itself that nobody is left to work for, unless somebody halted it: then it would keep for ever
    what it holds, the machine's lock above all. Linux only; elsewhere nothing can be asked for.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGCONT), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
