"""How long whoever waits for a candidate waits: told alive and told going on are two things."""

import time
from dataclasses import dataclass, field

NOTICED_S = 1.0  # at most so much silence counts per look: when this process was halted itself, nobody is to blame


@dataclass(frozen=True, kw_only=True)
class Patience:
    """`silent_s`: without a heartbeat (it comes every second) a process hangs, halted or worse. `stalled_s`: beating,
    but in the same training step, or waiting for the machine's lock, for so long."""

    silent_s: float = 10.0
    stalled_s: float = 3600.0


@dataclass
class Watch:
    """Over one process that works."""

    silent_s: float = 0.0
    stalled_s: float = 0.0
    looked: float = field(default_factory=time.monotonic)

    def heard(self, *, stepped: bool) -> None:
        self.silent_s = 0.0
        if stepped:
            self.stalled_s = 0.0

    def complaint(self, patience: Patience) -> str | None:
        """What it failed to do for too long; to be asked again and again."""
        now = time.monotonic()
        passed = min(now - self.looked, NOTICED_S)
        self.looked = now
        self.silent_s += passed
        self.stalled_s += passed
        for waited_s, limit_s, what in (
            (self.silent_s, patience.silent_s, "gave no sign of life"),
            (self.stalled_s, patience.stalled_s, "made no step"),
        ):
            if waited_s > limit_s:
                return f"its process hung: it {what} for {limit_s:g} s"
        return None
