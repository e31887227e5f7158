"""docs/dashboard.md says what the dashboard is."""

import re
from pathlib import Path

from app.cli.main import app as command_line
from app.dashboard.router import POLICY, names
from app.main import ROUTERS

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "app" / "dashboard" / "static"
TEXT = (ROOT / "docs" / "dashboard.md").read_text()


def test_every_page_is_told_and_there() -> None:
    told = re.findall(r"^\| `#/([a-z]+)", TEXT, flags=re.MULTILINE)
    there = re.findall(r"\^#\\/([a-z]+)", (STATIC / "main.js").read_text())
    assert set(told) == set(there)


def test_the_policy_is_the_one_that_is_sent() -> None:
    block = TEXT.split("```text\n")[1].partition("```")[0]
    assert " ".join(block.split()) == POLICY


def test_the_chart_library_is_the_one_that_is_packed() -> None:
    packed = (STATIC / "vendor" / "uPlot.iife.min.js").read_bytes()
    (version,) = re.findall(rb"uPlot \(v([\d.]+)\)", packed)
    assert f"uPlot {version.decode()} (MIT)" in TEXT
    assert f"uPlot is {len(packed) // 1000} kB" in TEXT
    assert {"vendor/uPlot.iife.min.js", "vendor/uPlot.min.css"} <= names()


def test_the_kinds_of_files_are_those_that_the_page_takes() -> None:
    page = (STATIC / "new_job.js").read_text()
    taken = re.findall(r'"(\.[a-z0-9.]+)"', page.partition("export async")[0].partition("MODEL_ENDINGS")[2])
    assert taken
    assert all(f"`{ending}`" in TEXT for ending in taken)


def test_the_ways_to_a_report_are_there() -> None:
    assert "report" in {each.callback.__name__ for each in command_line.registered_commands if each.callback}
    assert any(route.path == "/v1/jobs/{job_id}/report" for router in ROUTERS for route in router.routes)
