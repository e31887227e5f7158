"""docs/latency.md states the figures and the names that the code has."""

import inspect
import re
from dataclasses import fields
from pathlib import Path

from adapt.events import Latency
from adapt.latency import meters, profile, whole_networks
from adapt.latency.bench import BLOCK_S
from adapt.latency.intervals import CONFIDENCE, QUICK
from adapt.latency.local_device import ATTEMPTS
from adapt.latency.network_files import metadata
from adapt.latency.reading import Plan
from adapt.latency.runtimes.onnxruntime import OnnxRuntime
from adapt.latency.watched import SLOW
from adapt.measurement import LEAST
from adapt.reach import BLOCK
from app.jobs.schemas import LatencyOut

TEXT = (Path(__file__).parents[2] / "docs" / "latency.md").read_text()
PROSE = " ".join(TEXT.split())
NAMED = set(re.findall(r"`([\w.-]+)`", TEXT))


def row(plan: Plan) -> tuple[str, ...]:
    seconds = f"{plan.minimum_s:g} to {plan.maximum_s:g}" if plan.minimum_s else f"up to {plan.maximum_s:g}"
    return str(plan.minimum_pairs), seconds, f"{100 * plan.half_width:g} %"


def test_the_page_states_how_long_is_looked_at_what() -> None:
    rows = re.findall(r"^\| [^|]+ \| (\d+) \| ([^|]+) \| ([\d.]+ %)[^|]* \|$", TEXT, re.MULTILINE)
    plans = [meters.PLANS["usual"], meters.PLAN_OF_THE_ORIGINAL, meters.PLANS["longer"]]
    assert rows == [row(plan) for plan in (*plans, profile.PLAN, whole_networks.PLAN)]


def test_the_page_states_what_counts_as_quiet_and_as_enough() -> None:
    assert f"blocks of about {1000 * BLOCK_S:g} ms" in PROSE
    assert f"within {100 * (QUICK - 1):.0f} % of their quick level" in PROSE
    assert f"at least {100 * CONFIDENCE:g} %, whatever" in PROSE
    assert (ATTEMPTS, SLOW, BLOCK) == (3, 1.5, 16)
    assert all(told in PROSE for told in ("three attempts in all", "half as long again", "whole blocks of 16 channels"))
    assert f"aims {100 * meters.AIM_BELOW:g} % below the limit" in PROSE


def test_the_page_states_what_a_profile_takes() -> None:
    seconds = inspect.signature(profile.take_profile).parameters["maximum_seconds"].default
    assert f"{profile.VARIANTS} networks in all or as many as fit into {seconds:g} seconds" in PROSE
    assert f"{profile.VARIANTS_WITH_A_PRIOR} networks are enough" in PROSE


def test_the_page_names_every_figure_and_every_property_of_a_file() -> None:
    assert set(LatencyOut.model_fields) <= NAMED
    assert {field.name for field in fields(Latency)} - {"entries"} <= NAMED
    assert {*LEAST, "start", "final-3", "3-again"} <= NAMED
    assert {name for name in NAMED if name.startswith("netadapt.")} == set(metadata(OnnxRuntime().conditions))
