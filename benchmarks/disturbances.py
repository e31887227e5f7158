"""What goes wrong with a running cluster: processes killed and halted, and the database cut off."""

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import make_url, text

from app.database import make_engine
from benchmarks.cluster import Cluster, Found, Role

KILLED: tuple[Role, ...] = ("lane", "child", "host", "api", "measuring")
HALTED: tuple[Role, ...] = ("lane", "child", "host")
CUT = "cut-database"
"""PostgreSQL: every connection is ended. SQLite: somebody else holds the file's lock."""


@dataclass(frozen=True)
class Disturbance:
    kind: str
    what: str


class Disturber:
    """Everything is drawn from `seed`; what is hit depends on what runs at the moment. Not thread-safe."""

    def __init__(self, cluster: Cluster, database_url: str, seed: int, lease_s: float) -> None:
        self._cluster, self._database_url, self._lease_s = cluster, database_url, lease_s
        self._random = random.Random(seed)
        self._to_wake: list[tuple[float, int]] = []
        self._holders: list[threading.Thread] = []

    def pause_s(self, mean: float) -> float:
        return self._random.uniform(0.2 * mean, 1.8 * mean)

    def strike(self) -> Disturbance:
        """One thing, at once. What is halted is woken later, or left to whoever notices."""
        found = self._cluster.find()
        kinds: dict[str, Callable[[], str]] = {CUT: self._cut}
        for role in sorted({each.role for each in found}):
            those = [each for each in found if each.role == role]
            if role in KILLED:
                kinds[f"kill-{role}"] = lambda those=those: self._kill(those)  # type: ignore[misc]
            if role in HALTED:
                kinds[f"halt-{role}"] = lambda those=those: self._halt(those)  # type: ignore[misc]
        kind = self._random.choice(sorted(kinds))
        return Disturbance(kind, kinds[kind]())

    def wake(self) -> None:
        """Those whose time has come."""
        for when, pid in list(self._to_wake):
            if time.monotonic() >= when:
                self._to_wake.remove((when, pid))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        for holder in self._holders:
            holder.join()

    def _kill(self, those: list[Found]) -> str:
        chosen = self._random.choice(those)
        with suppress(ProcessLookupError):
            os.kill(chosen.pid, signal.SIGKILL)
        return f"process {chosen.pid}"

    def _halt(self, those: list[Found]) -> str:
        chosen = self._random.choice(those)
        with suppress(ProcessLookupError):
            os.kill(chosen.pid, signal.SIGSTOP)
        # A host is started from a shell here: nobody watches it, so it is always woken.
        if chosen.role != "host" and self._random.random() < 0.5:
            return f"process {chosen.pid}, for good"
        seconds = self._random.uniform(0.3, 3) * self._lease_s
        self._to_wake.append((time.monotonic() + seconds, chosen.pid))
        return f"process {chosen.pid}, for {seconds:.1f} s"

    def _cut(self) -> str:
        if make_url(self._database_url).get_backend_name() == "postgresql":
            return f"{self._end_connections()} connections"
        seconds = self._random.uniform(0.1, 2) * self._lease_s
        holder = threading.Thread(target=self._hold_lock, args=(seconds,))
        holder.start()
        self._holders.append(holder)
        return f"locked for {seconds:.1f} s"

    def _end_connections(self) -> int:
        engine = make_engine(self._database_url)
        others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        with engine.connect() as connection:
            ended = connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
            count = len(ended.all())
        engine.dispose()
        return count

    def _hold_lock(self, seconds: float) -> None:
        connection = sqlite3.connect(str(make_url(self._database_url).database), timeout=60, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
        connection.close()
