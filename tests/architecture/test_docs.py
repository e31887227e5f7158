"""The pages beside the code name what the code has."""

import json
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import get_args

from adapt.data.calibration import CALIBRATION_IMAGES
from adapt.formats.aten_respelled import RULES
from adapt.formats.onnx_writer import OPSET
from adapt.graph.operators import READINGS
from adapt.graph.pruning import Kind
from adapt.latency.conditions import Conditions
from adapt.latency.runtimes.choice import MAX_BATCH, MAX_THREADS, PROVIDERS_OF_TORCH, Precision, RuntimeName
from adapt.latency.table import Entry
from adapt.rungs import rungs
from adapt.spec import Final, Importance, Pick, Proposals, Race, Search, Settings
from adapt.training.evidence import EVIDENCE_BATCHES
from adapt.training.scoring import STATISTICS_BATCH_AT_LEAST
from app.jobs.schemas import ProposalOut
from app.jobs.settings_schema import SettingsIn
from app.models.schemas import GroupOut
from app.records import FileFormat
from app.targets.schemas import NewLocalTarget, read_new_target

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = (ROOT / "docs" / "networks.md").read_text()
TARGETS = (ROOT / "docs" / "targets.md").read_text()
SEARCH = (ROOT / "docs" / "search.md").read_text()
CHOICES = (ROOT / "docs" / "choices.md").read_text()
RACING = (ROOT / "docs" / "racing.md").read_text()


def test_every_page_that_the_readme_names_is_there() -> None:
    pages = re.findall(r"\[(docs/[a-z_]+\.md)\]\(", (ROOT / "README.md").read_text())
    assert "docs/search.md" in pages
    assert all((ROOT / page).is_file() for page in pages)


def test_the_page_about_the_search_tells_every_kind_of_group_and_of_proposal() -> None:
    named = set(re.findall(r"`([a-z_]+)`", SEARCH))
    assert named >= {*get_args(Kind), *get_args(Proposals)}


def test_the_page_about_the_search_names_settings_and_fields_that_there_are() -> None:
    bounds = {"include", "exclude", "min_channels", "max_removed", "largest_share", "group_limits", "round_channels_to"}
    fields = {"further", "kept", "filters_before", "filters_after", "filters_each", "channels", "prunable", "reason"}
    assert bounds <= set(SettingsIn.model_fields)
    assert fields <= {*ProposalOut.model_fields, *GroupOut.model_fields}
    assert all(f"`{name}`" in SEARCH for name in bounds | fields - {"prunable"})


def test_the_page_about_choices_tells_every_importance_and_its_cost() -> None:
    section = CHOICES.partition("## Which channels stay")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)`", section, flags=re.MULTILINE)
    assert sorted(rows) == sorted(["importance", *get_args(Importance)])
    assert f"`{Settings().importance}` (the default)" in CHOICES
    assert f"{EVIDENCE_BATCHES} batches, forward and backward" in CHOICES


def test_the_page_about_choices_tells_every_rule_of_picking_and_the_exponents() -> None:
    section = CHOICES.partition("## Which proposal wins")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)`", section, flags=re.MULTILINE)
    assert sorted(rows) == sorted(["pick", *get_args(Pick)])
    assert f"Both are {Settings().reward.alpha:g} by default" in section


def test_the_page_about_choices_names_the_figures_of_the_noise_and_the_default_number_of_batches() -> None:
    assert {"accuracy_standard_error", "holdout_images"} <= set(ProposalOut.model_fields)
    assert all(f"`{name}`" in CHOICES for name in ("accuracy_standard_error", "holdout_images"))
    batches, least = Settings().batch_norm_batches, STATISTICS_BATCH_AT_LEAST
    assert (
        f"over `batch_norm_batches` training batches ({batches} by default, of `batch_size` but at least {least}"
        in (" ".join(CHOICES.split()))
    )


def test_the_page_about_choices_states_how_a_network_is_taught() -> None:
    told, settings = " ".join(CHOICES.split()), Settings()
    assert not settings.distill
    assert f"T is `distill_temperature`, {settings.distill_temperature:g} by default" in told
    assert f"`distill_weight`, {settings.distill_weight:g} by default" in told


def test_the_page_about_choices_tells_every_end_of_a_search() -> None:
    rows = re.findall(r"^\| `([\w-]+)`", CHOICES.partition("## The end")[2], flags=re.MULTILINE)
    assert rows == ["final", *get_args(Final)]
    assert f"the default of {Settings().long_term_epochs} is for" in CHOICES


def test_the_page_about_races_tells_every_setting_with_its_default_and_the_fields_of_the_record() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", RACING, flags=re.MULTILINE))
    assert {name: float(value) for name, value in rows.items()} == asdict(Race())
    assert set(get_args(Search)) <= set(re.findall(r"`(\w+)`", RACING))
    fields_of_race = {"rung", "behind", "behind_standard_error", "steps", "reason"}
    assert fields_of_race <= set(ProposalOut.model_fields)
    assert all(f"`{name}`" in RACING for name in fields_of_race)
    told = " ".join(RACING.split())
    assert f"200 steps have theirs at {rungs(200)[0]}, {rungs(200)[1]} and {rungs(200)[2]}, 4 at" in told
    assert (rungs(4), rungs(1)) == ((1, 2), ())


def test_the_page_about_networks_lists_every_operator_that_a_pt2_is_read_with() -> None:
    targets = [*READINGS, *(f"torch.ops.aten.{name}" for name in RULES)]
    read = {target.removeprefix("torch.ops.aten.").split(".")[0].rstrip("_") for target in targets}
    named = set(re.findall(r"`(\w+)`", NETWORKS.partition("## Operators")[2].partition("## What can")[0]))
    assert named - {"forward"} == read | {"mm", "addmm"}  # as the linear layers that they are


def test_the_page_about_networks_states_the_opset_that_is_written() -> None:
    assert f"opset {OPSET}" in NETWORKS
    assert set(get_args(FileFormat)) <= set(re.findall(r"`([\w-]+)`", NETWORKS))


def test_the_page_about_targets_names_what_can_be_asked_for_and_what_is_answered() -> None:
    named = set(re.findall(r"`([\w-]+)`", TARGETS))
    assert named >= {*get_args(RuntimeName), *get_args(Precision), *PROVIDERS_OF_TORCH}
    assert named >= set(NewLocalTarget.model_fields) - {"kind"}
    assert named >= {field.name for field in fields(Conditions)}
    assert named >= {field.name for field in fields(Entry)} - {"operator", "shape"}
    assert f"1 to {MAX_THREADS}" in TARGETS
    assert f"1 to {MAX_BATCH}" in TARGETS
    assert f"{CALIBRATION_IMAGES} training images" in TARGETS


def test_the_example_of_a_new_target_is_one() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", TARGETS, flags=re.DOTALL)
    assert isinstance(read_new_target(json.loads(example)), NewLocalTarget)
