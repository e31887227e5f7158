"""Models as HTTP shows them."""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.models.records import Group, Model
from app.records import CheckState, GroupKind
from app.timestamps import rfc3339


class NormalizationOut(BaseModel):
    """On pixel / 255, one number per channel."""

    mean: list[float]
    std: list[float]


class ShareOut(BaseModel):
    """Fractions of all mult-adds, and of the parameters in filters and linear layers (no biases, no batch norm)."""

    macs: float
    params: float


class GroupOut(BaseModel):
    """Channels that shrink together; when `prunable` is false, `reason` says why in words."""

    id: str
    kind: GroupKind
    layers: list[str]
    channels: int = Field(description="Units that stay or go as one, each of `filters_each` filters of a layer.")
    filters_each: int | None = Field(
        description="1 but for grouped convolutions, where whole groups, or one filter of every group, go together. "
        "null: the model was read before this was kept."
    )
    prunable: bool
    reason: str | None

    @classmethod
    def of(cls, group: Group) -> "GroupOut":
        return cls(
            id=group.id,
            kind=group.kind,
            layers=list(group.layers),
            channels=group.channels,
            filters_each=group.filters_each,
            prunable=group.prunable,
            reason=group.reason,
        )


class ModelOut(BaseModel):
    """`groups` is null until a worker has found them; `error` is a problem when `state` is refused.

    `by_kind` names layers by kind: conv1x1, depthwise, conv3x3 ..., grouped-conv3x3 ..., linear. Of `format`
    zoo is what a job made of a zoo name: an architecture, which each job trains on its own data set first.
    """

    id: str
    name: str
    state: CheckState
    error: dict[str, Any] | None
    format: Literal["pt2", "onnx", "safetensors", "zoo"]
    architecture: str | None
    sha256: str | None
    bytes: int
    input_shape: list[int]
    normalization: NormalizationOut
    classes: list[str] | None
    class_count: int
    params: int
    macs: int
    memory_bytes: int
    by_kind: dict[str, ShareOut] | None
    groups: list[GroupOut] | None
    created_at: str | None

    @classmethod
    def of(cls, model: Model) -> "ModelOut":
        return cls.model_validate(
            {
                "id": model.id,
                "name": model.name,
                "state": model.state,
                "error": model.error,
                "format": model.format,
                "architecture": model.architecture,
                "sha256": model.sha256,
                "bytes": model.bytes,
                "input_shape": list(model.input_shape),
                "normalization": NormalizationOut(
                    mean=list(model.normalization.mean), std=list(model.normalization.std)
                ),
                "classes": None if model.classes is None else list(model.classes),
                "class_count": model.class_count,
                "params": model.params,
                "macs": model.macs,
                "memory_bytes": model.memory_bytes,
                "by_kind": None if model.by_kind is None else {k: asdict(share) for k, share in model.by_kind.items()},
                "groups": None if model.groups is None else [GroupOut.of(group) for group in model.groups],
                "created_at": rfc3339(model.created_at),
            }
        )


class ModelListing(BaseModel):
    data: list[ModelOut]
    next_cursor: str | None
