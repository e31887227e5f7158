"""What an executor is built from: a value that can be handed to another process. Needs no torch."""

from dataclasses import dataclass
from pathlib import Path

from adapt.data.dataset import TrainingData
from adapt.graph.network import Graph, Network
from adapt.graph.pruning import ChannelGroup
from adapt.spec import Settings

ATTEMPTS = 3  # of a candidate whose process dies or hangs, in all


@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """What stays the same for a whole job. `teacher` is the network whose scores fine-tunes learn too; None: they learn
    from the labels alone. `lock_directory` is the machine lock's; None: no lock."""

    original: Graph
    groups: tuple[ChannelGroup, ...]
    data: TrainingData
    settings: Settings
    teacher: Network | None = None
    lock_directory: Path | None = None
