"""docs/devices.md says what the code does: options, waiting times, paths, what a device needs."""

import re
from pathlib import Path

import typer

from adapt.latency.watched import SLOW
from app.agent.router import router
from app.cli.main import app
from app.settings import Settings
from app.targets.presence import AWAY_S, SILENT_S
from app.tasks.queue import MAX_ATTEMPTS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "devices.md").read_text()


def test_every_option_of_the_agent_is_told_and_no_other() -> None:
    command = typer.main.get_command(app).commands["agent"]  # type: ignore[attr-defined]
    options = {name for parameter in command.params for name in parameter.opts if name != "--help"}
    table = TEXT.partition("| option |")[2].partition("\n\n")[0]
    assert set(re.findall(r"--[a-z][a-z0-9-]*", table)) == options


def test_the_waiting_times_are_the_codes() -> None:
    rows = re.findall(r"^\| (\d+) \|", TEXT, flags=re.MULTILINE)
    assert [float(row) for row in rows] == [SILENT_S, AWAY_S, Settings().device_patience_s]
    assert "NETADAPT_DEVICE_PATIENCE_S" in TEXT
    assert f"handed out {MAX_ATTEMPTS} times" in TEXT
    assert f"more than {SLOW} times" in TEXT


def test_the_path_is_one_that_there_is() -> None:
    (path,) = re.findall(r"`POST (\S+)\?wait=20`", TEXT)
    assert path in {route.path for route in router.routes}  # type: ignore[attr-defined]


def test_the_readme_leads_here() -> None:
    assert "(docs/devices.md)" in (ROOT / "README.md").read_text()
