"""A model as the service knows it: no rows, no HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapt.graph.network import Graph
from adapt.graph.pruning import ChannelGroup
from adapt.graph.shares import Share
from adapt.spec import Normalization
from app.records import CheckState, GroupKind


class ModelError(Exception):
    """Root of what goes wrong with models."""


class ModelNotFound(ModelError):
    """There is none with this id, or it is somebody else's."""

    def __init__(self, model_id: str) -> None:
        super().__init__(model_id)
        self.model_id = model_id

    def __str__(self) -> str:
        return f"there is no model {self.model_id}"


class ModelInUse(ModelError):
    def __init__(self, model_id: str, job_id: str) -> None:
        super().__init__(model_id, job_id)
        self.model_id, self.job_id = model_id, job_id

    def __str__(self) -> str:
        return f"model {self.model_id} is used by job {self.job_id}; delete its jobs first"


UNTRAINED = "zoo"
"""Format of a model that is an architecture only: each job trains it on its own data set first."""


@dataclass(frozen=True, kw_only=True)
class NewModel:
    """What an upload says of itself once it is read. `memory_bytes` is weights plus all activations of one input.

    `sha256` and `bytes` are those of the file as it came.
    """

    name: str
    format: str
    architecture: str | None
    sha256: str
    bytes: int
    graph: Graph
    class_count: int
    classes: tuple[str, ...] | None
    normalization: Normalization
    params: int
    macs: int
    memory_bytes: int
    by_kind: Mapping[str, Share]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A channel group as it is listed; its slices are in `Structure`. `filters_each` None: it came before that was
    kept."""

    id: str
    kind: GroupKind
    layers: tuple[str, ...]
    channels: int
    prunable: bool
    reason: str | None
    filters_each: int | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """`groups` is None until a worker has found them; `error` is a problem document when `state` is refused.

    `architecture` is the zoo's name for it, where it came by that; `by_kind` None: it came before that was counted.
    """

    id: str
    owner: str
    name: str
    state: CheckState
    error: dict[str, Any] | None
    format: str
    architecture: str | None
    sha256: str | None
    bytes: int
    input_shape: tuple[int, int, int]
    class_count: int
    classes: tuple[str, ...] | None
    normalization: Normalization
    params: int
    macs: int
    memory_bytes: int
    by_kind: Mapping[str, Share] | None
    groups: tuple[Group, ...] | None
    weights_sha256: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What costs, pruning and prediction read: the graph, and its groups as slice plans (None until found)."""

    graph: Graph
    groups: tuple[ChannelGroup, ...] | None
