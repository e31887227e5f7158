"""What parent and child processes say to each other over the pipe: a few bytes each. Needs no torch."""

from dataclasses import dataclass
from pathlib import Path

from adapt.events import Evaluation


@dataclass(frozen=True)
class Order:
    """Parent to child: evaluate candidate `index` of this iteration's file with its batches in `parts`; its weights go
    to `result`."""

    iteration: Path
    index: int
    result: Path
    parts: int


@dataclass(frozen=True)
class Beat:
    """Child to parent, every second: the process is alive, whatever it waits for."""


@dataclass(frozen=True)
class Stepped:
    """Child to parent, at most once a second: a training step or a batch was begun."""


@dataclass(frozen=True)
class Done:
    """Child to parent; the weights, in this order of names, are in the order's `result`, and of one that stopped
    before its end what it remembers lies beside them."""

    evaluation: Evaluation
    names: tuple[str, ...]
    remembers: bool


@dataclass(frozen=True)
class Diverges:
    """Child to parent: another attempt would end alike."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """Child to parent, or said of a dead child: another attempt may do better. `traceback` is for the log;
    `out_of_memory`: the kernel killed the child because the machine had no memory left."""

    reason: str
    traceback: str = ""
    out_of_memory: bool = False


Report = Beat | Stepped | Done | Diverges | Failed


@dataclass(frozen=True)
class Cancel:
    """Parent to the driver of a Ray cluster: whatever runs there for it must not run on."""


@dataclass(frozen=True)
class Cancelled:
    """Driver to parent: nothing runs any more."""


@dataclass(frozen=True)
class Connected:
    """Driver to parent: the cluster is there, and has the job's data."""


@dataclass(frozen=True)
class Ended:
    """Driver to parent: what came of the order whose tensors go to `result`."""

    result: Path
    outcome: Done | Diverges | Failed


@dataclass(frozen=True)
class Away:
    """Driver to parent, which it will not serve any more: the cluster cannot be reached, or can no longer be."""

    reason: str


DriverReport = Beat | Connected | Ended | Cancelled | Away
