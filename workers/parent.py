"""A process that ends when the one that started it does, even by kill -9."""

import os
import threading
import time
from collections.abc import Callable

from adapt.parent import wake_at_parents_end

LOOK_S = 0.5


def watch_parent(orphaned: Callable[[], None]) -> None:
    """Calls `orphaned` once, from a thread, when this process's parent is gone.

    A lane without its host would go on claiming work that nobody can tell it to leave.
    """
    parent = os.getppid()
    wake_at_parents_end()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        orphaned()

    threading.Thread(target=watch, name="parent", daemon=True).start()
