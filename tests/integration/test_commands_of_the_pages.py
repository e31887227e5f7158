"""Every command that README and pages show is run here, against one service, or says beside it why no test does.

There is no worker: a job that is submitted stays in the queue, and `--watch` watches one that is over, as `JOB` is.
"""

import argparse
import json
import re
import shlex
import sys
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
import httpx
import numpy as np
import pytest
import torch
import typer
from safetensors.numpy import save_file
from torch import nn

from adapt.latency.table import Entry, LookupTable
from adapt.zoo.catalogue import get_architecture
from app import client as client_package
from app.cli import main
from app.settings import Settings
from tests.latency import CONDITIONS
from tests.networks import conv_bn, export_pt2
from tests.page_commands import PAGES, ROOT, Shown, shown_commands
from tests.published_weights import state_of
from tests.served_app import ServedApp, served_app
from tests.shown_job import add_shown_job

SHOWN = shown_commands()
RUN_BY = {
    "serve": "tests/acceptance/test_serve.py",
    "agent": "tests/acceptance/test_agent.py",
    "worker": "tests/integration/test_disks.py",
}
"""Commands that run until they are ended -> whose tests start and end them."""
NOT_KNOWN_YET = 1
"""What `check` ends with while no worker has measured."""


class Session:
    """One user's terminal in a folder with the files that the pages name, and a service that has one finished job."""

    def __init__(self, app: ServedApp, folder: Path) -> None:
        self.app, self.folder = app, folder
        with app.client() as client:
            model = client.post("/v1/models", files={"file": ("net.pt2", (folder / "net.pt2").read_bytes())}).json()
            table = json.loads((folder / "table.json").read_text())
            target = client.post("/v1/targets", json=table | {"name": "phone-1"}).json()["id"]
        job = add_shown_job(app, "local", model["id"])
        self.places = {"job_...": job, "JOB": job, "tgt_...": target, "http://127.0.0.1:8000": app.url}

    def filled_in(self, word: str) -> str:
        if "whk_..." in word:
            with self.app.client() as client:
                self.places["whk_..."] = client.get("/v1/webhooks").json()["data"][0]["id"]
        for place, value in self.places.items():
            word = word.replace(place, value)
        return word


@pytest.fixture(scope="module", name="session")
def _session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("user")
    (folder / "net.pt2").write_bytes(a_network())
    np.savez(folder / "images.npz", x_train=some_images(200), y_train=np.arange(200) % 10)
    entry = Entry(operator="conv", shape="3x8x8>16x8x8", ms=0.5, count=3, spread=0.1)
    table = LookupTable(entries=(entry,), calibration=1.0, conditions=CONDITIONS)
    (folder / "table.json").write_text(json.dumps({"kind": "table", "table": table.to_document()}))
    save_file(state_of(get_architecture("resnet18").published_graph(10).weight_shapes), folder / "resnet18.safetensors")
    with served_app(Settings(data_dir=tmp_path_factory.mktemp("data"))) as app:
        yield Session(app, folder)


def a_network() -> bytes:
    """[N, 3, 16, 16] to [N, 10], with layers of the names that the pages have."""
    features = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), conv_bn(32, 64, 3, 2))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return export_pt2(nn.Sequential(OrderedDict(features=features, head=head)), (2, 3, 16, 16))


def some_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("shown", [each for each in SHOWN if not each.marked], ids=str)
def test_a_command_of_the_pages_does_what_it_says(
    shown: Shown, session: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program, *words = shown.words
    monkeypatch.chdir(session.folder)
    if program == "curl":
        assert curl([session.filled_in(word) for word in words]).is_success
        return
    assert program in {"netadapt", ".venv/bin/netadapt"}, "run it here, or mark it (not run by a test: why)"
    if words[0] in RUN_BY:
        assert f'"{words[0]}"' in (ROOT / RUN_BY[words[0]]).read_text()
        parse(words)
        return
    monkeypatch.setenv("NETADAPT_URL", session.app.url)
    monkeypatch.setattr(client_package, "Client", partial(client_package.api.Client, sleep=lambda seconds: None))
    typed = [session.filled_in(word) for word in words]
    code, said = netadapt(monkeypatch, *(word for word in typed if word != "--watch")), capsys.readouterr()
    if words[0] == "check":
        assert (code, "not known yet" in said.out) == (NOT_KNOWN_YET, True), said.err
    else:
        assert code == 0, said.err
    if "--watch" in words:
        assert netadapt(monkeypatch, "watch", session.places["JOB"]) == 0


def netadapt(monkeypatch: pytest.MonkeyPatch, *typed: str) -> int:
    monkeypatch.setattr(sys, "argv", ["netadapt", *typed])
    with pytest.raises(SystemExit) as ended:
        main.run()
    return int(ended.value.code or 0)


def curl(words: list[str]) -> httpx.Response:
    """What curl would send: forms (-F), headers (-H), files (-o); -N is of its output alone."""
    reader = argparse.ArgumentParser()
    reader.add_argument("-F", action="append", default=[])
    reader.add_argument("-H", action="append", default=[])
    reader.add_argument("-N", action="store_true")
    reader.add_argument("-o")
    reader.add_argument("url")
    typed = reader.parse_args(words)
    headers = dict(header.split(": ", 1) for header in typed.H)
    pairs = [field.split("=", 1) for field in typed.F]
    files = {name: Path(value[1:]).read_bytes() for name, value in pairs if value.startswith("@")}
    fields = {name: value for name, value in pairs if not value.startswith("@")}
    answer = httpx.request("POST" if pairs else "GET", typed.url, headers=headers, data=fields, files=files or None)
    if typed.o:
        Path(typed.o).write_bytes(answer.content)
    return answer


def parse(words: list[str]) -> None:
    """Raises click.UsageError for what the command line would refuse."""
    command, rest = find_command(words)
    with command.make_context(" ".join(words), rest):
        pass


def find_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that `words` begin with, and what it is given."""
    command, rest = typer.main.get_command(main.app), list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        command = command.commands[rest.pop(0)]
    return command, rest


def test_what_the_text_calls_a_command_is_one_with_the_options_that_it_is_given() -> None:
    texts = [(page, text) for page in PAGES for text in re.findall(r"`netadapt ([a-z][^`]*)`", page.read_text())]
    assert texts
    for page, text in texts:
        for part in text.split("|") if " " not in text else [text]:  # `pause|resume` are two
            command, rest = find_command(shlex.split(part))
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            given = {word.partition("=")[0] for word in rest if word.startswith("--")} - {"--help", "--version"}
            assert given <= known, f"{page.name}: netadapt {text}"


def test_every_make_target_and_benchmark_that_the_pages_name_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in PAGES:
        named = re.findall(r"(?:`|^)(?:[A-Z_]+=\S+ )?make ([a-z]+)(?: NAME=([a-z_]+))?", page.read_text(), re.MULTILINE)
        for target, benchmark in named:
            assert target in targets, f"{page.name}: make {target}"
            assert not benchmark or (ROOT / "benchmarks" / f"{benchmark}.py").is_file(), f"{page.name}: {benchmark}"


def test_a_reason_stands_beside_each_command_that_no_test_runs() -> None:
    marked = [shown for shown in SHOWN if shown.marked]
    assert marked
    assert not [shown for shown in marked if shown.words[0] == "netadapt"], "those can all be run"
