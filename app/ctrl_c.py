"""Ctrl-C while a process begins: kept back until it can be answered, for Python would show a traceback of the imports.

What is kept back passes to whatever the thread starts or becomes.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


def keep_ctrl_c_back() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def let_ctrl_c_in() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def ctrl_c_kept_back() -> Iterator[None]:
    """For this thread, meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
