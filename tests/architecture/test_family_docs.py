"""The page about families names what the API has."""

import re
from pathlib import Path
from typing import get_args

from adapt.spec import Compare, Settings
from app.cli.families import family
from app.jobs.schemas import FamilyIn, JudgedAgainOut, PointOut, UniformOut
from app.records import PointKind

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "family.md").read_text()
CHOICES = (DOCS / "choices.md").read_text()


def test_every_kind_of_point_and_every_figure_of_one_is_told() -> None:
    section = PAGE.partition("## The curve")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)`", section, flags=re.MULTILINE)
    assert sorted(rows) == sorted(["kind", *get_args(PointKind)])
    figures = {"latency_ms", "macs", "params", "memory_bytes", "holdout_accuracy", "test_accuracy"}
    assert figures <= set(PointOut.model_fields)
    assert all(f"`{name}`" in section for name in figures)


def test_what_can_be_asked_for_is_told_as_it_is_typed() -> None:
    assert all(f'"{name}"' in PAGE or f"`{name}`" in PAGE for name in FamilyIn.model_fields)
    options = set(re.findall(r"--(\w+)", PAGE.partition("## What a member is")[0]))
    assert options <= set(family.__annotations__)


def test_what_a_result_is_compared_with_is_told_with_its_default() -> None:
    section = PAGE.partition("## The uniformly thinned network")[2]
    assert set(get_args(Compare)) == {"none", "uniform"}
    assert f"`{Settings().compare}` by default" in CHOICES
    assert all(f"`{name}`" in section for name in set(UniformOut.model_fields) & {"width", "steps"})
    assert "family.md#the-uniformly-thinned-network" in CHOICES


def test_the_second_look_is_told_with_its_default_and_its_figures() -> None:
    section = CHOICES.partition("**A second look**")[2].partition("**Batch-norm")[0]
    assert f"It is {Settings().holdout_max:g}, off, by default" in " ".join(section.split())
    assert all(f"`{name}`" in section for name in JudgedAgainOut.model_fields)
