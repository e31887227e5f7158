"""Models as HTTP shows them."""

from typing import Any, Literal

from pydantic import BaseModel

from app.models.records import Group, Model
from app.records import CheckState, GroupKind
from app.timestamps import rfc3339


class NormalizationOut(BaseModel):
    """On pixel / 255, one number per channel."""

    mean: list[float]
    std: list[float]


class GroupOut(BaseModel):
    """Channels that shrink together; when `prunable` is false, `reason` says why in words."""

    id: str
    kind: GroupKind
    layers: list[str]
    channels: int
    prunable: bool
    reason: str | None

    @classmethod
    def of(cls, group: Group) -> "GroupOut":
        return cls(
            id=group.id,
            kind=group.kind,
            layers=list(group.layers),
            channels=group.channels,
            prunable=group.prunable,
            reason=group.reason,
        )


class ModelOut(BaseModel):
    """`groups` is null until a worker has found them; `error` is a problem when `state` is refused."""

    id: str
    name: str
    state: CheckState
    error: dict[str, Any] | None
    format: Literal["pt2", "onnx", "safetensors"]
    sha256: str | None
    bytes: int
    input_shape: list[int]
    normalization: NormalizationOut
    classes: list[str] | None
    class_count: int
    params: int
    macs: int
    memory_bytes: int
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
                "groups": None if model.groups is None else [GroupOut.of(group) for group in model.groups],
                "created_at": rfc3339(model.created_at),
            }
        )


class ModelListing(BaseModel):
    data: list[ModelOut]
    next_cursor: str | None
