"""docs/scaling.md names what there is, and the example of its cost model is computed by the command that it names."""

import re
from pathlib import Path
from typing import get_args

import pytest

from adapt.executors.ray import EXTRA, RayExecutor
from adapt.spec import ExecutorName
from app.problems import PROBLEMS
from app.settings import Settings
from benchmarks import cost, scaling_ray
from tests.small_task import small_task

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "scaling.md").read_text()


def test_every_executor_and_setting_is_there_with_its_default() -> None:
    assert set(re.findall(r"^\| `([a-z]+)`", PAGE, flags=re.MULTILINE)) == set(get_args(ExecutorName))
    told = dict(re.findall(r"^\| `NETADAPT_(\w+)` \| (`[^`]*`|none) \|", PAGE, flags=re.MULTILINE))
    settings = Settings.model_fields
    assert told == {"RAY_ADDRESS": "none", "RAY_PATIENCE_S": f"`{settings['ray_patience_s'].default:g}`"}
    assert settings["ray_address"].default == ""
    assert f"netadapt-service[{EXTRA}]" in PAGE


def test_problems_bar_and_patience_are_those_of_the_code() -> None:
    assert {"ray-away", "extra-absent"} <= {problem.slug for problem in PROBLEMS.values()}
    assert all(f"`{slug}`" in PAGE for slug in ("ray-away", "extra-absent"))
    assert f"a share of {scaling_ray.BAR:g} of the processes' speed" in " ".join(PAGE.split())
    executor = RayExecutor(small_task())
    executor.close()
    assert f"no sign of life for {executor.patience.silent_s:g} s" in PAGE


def test_the_cost_models_example_follows_from_its_named_inputs() -> None:
    asked = cost.arguments().parse_args(["--ms-per-image", "2", "--jobs", "1000", "--cores", "16"])
    line = cost.cost(asked)
    figures, stated = line["figures"], line["conditions"]
    needed = 1000 * figures["processor_s_per_job"] / (86_400 * stated["efficiency"] * stated["use"])
    assert figures["processors_needed"] == pytest.approx(needed, rel=0.01)
    assert figures["machines"] == -(-figures["processors_needed"] // 16)
    twice = cost.cost(cost.arguments().parse_args(["--ms-per-image", "4"]))["figures"]
    assert 1.5 < twice["processor_s_per_job"] / figures["processor_s_per_job"] < 2
    assert all(f"`--{name}`" in PAGE for name in ("ms-per-image", "images", "iterations", "jobs", "cores", "price"))
