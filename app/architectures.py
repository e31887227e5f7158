"""/v1/architectures: the zoo, beside the figures that its papers print."""

from functools import cache
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from adapt.graph.costs import costs
from adapt.zoo.architecture import Architecture, Figure
from adapt.zoo.catalogue import ARCHITECTURES

router = APIRouter(prefix="/v1/architectures", tags=["architectures"])


class PaperOut(BaseModel):
    """As printed, in millions; null where the paper prints none. `note` says where our count differs, and why."""

    reference: str
    macs_millions: float | None
    params_millions: float | None
    note: str


class ArchitectureOut(BaseModel):
    """`macs` and `params` are counted, for 1000 classes and `input_shape` (C, H, W).

    `family` also takes other widths where `has_width`, squeeze-and-excitation behind every block where `takes_se`, and
    any resolution: `[se_]<family>[_<width>][_<resolution>]`.
    """

    name: str
    family: str
    has_width: bool
    takes_se: bool
    input_shape: list[int]
    macs: int
    params: int
    paper: PaperOut

    @classmethod
    def of(cls, row: Architecture) -> "ArchitectureOut":
        counted, published = costs(row.graph()), row.published
        return cls(
            name=row.name,
            family=row.family.name,
            has_width=row.family.has_width,
            takes_se=row.family.excited is not None,
            input_shape=list(row.image_shape),
            macs=counted.macs,
            params=counted.params,
            paper=PaperOut(
                reference=row.paper,
                macs_millions=None if published is None else _printed(published.macs),
                params_millions=None if published is None else _printed(published.params),
                note="" if published is None else published.why,
            ),
        )


class ArchitectureListing(BaseModel):
    """All of them at once: there are no further pages."""

    data: list[ArchitectureOut]
    next_cursor: None = None


@router.get("", response_model=ArchitectureListing)
def list_architectures() -> dict[str, Any]:
    """For everybody: it says nothing of anybody."""
    return {"data": _listed(), "next_cursor": None}


@cache  # counted once: it takes a tenth of a second and never changes
def _listed() -> tuple[ArchitectureOut, ...]:
    return tuple(ArchitectureOut.of(row) for row in ARCHITECTURES.values())


def _printed(figure: Figure | None) -> float | None:
    return None if figure is None else figure.value
