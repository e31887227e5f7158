"""docs/python.md and examples/: what they name is there, and what they show runs as it stands."""

import asyncio
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import adapt
import netadapt
from adapt.formats.pt2 import read_pt2
from adapt.modules import build_module
from app.client.exchange import ATTEMPTS
from tests.trained import SIDE, trained_pt2
from tests.unit.client.test_client import stream_of

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "python.md").read_text()
CLIENT, ASYNC_CLIENT, NOTEBOOK = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def answer(request: httpx.Request) -> httpx.Response:
    if request.url.path.endswith("/events"):
        return stream_of((1, "state", {"state": "succeeded"}))
    if request.url.path.endswith("/file"):
        etag = hashlib.sha256(b"").hexdigest()
        return httpx.Response(200, headers={"ETag": f'"{etag}"'}, content=b"")
    return httpx.Response(200, json={"id": "job_1", "state": "succeeded"})


def test_the_clients_of_the_page_do_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("net.pt2", "images.npz"):
        (tmp_path / name).write_bytes(b"PK")
    transport = httpx.MockTransport(answer)
    client, async_client = netadapt.Client, netadapt.AsyncClient
    monkeypatch.setattr(netadapt, "Client", lambda *a, **k: client(*a, **k, transport=transport))
    monkeypatch.setattr(netadapt, "AsyncClient", lambda *a, **k: async_client(*a, **k, transport=transport))
    exec(compile(CLIENT, "docs/python.md", "exec"), {})  # our own page
    assert (tmp_path / "adapted.onnx").exists()
    names: dict[str, Any] = {}
    exec(compile(ASYNC_CLIENT, "docs/python.md", "exec"), names)
    jobs = asyncio.run(names["follow"]("job_1", "job_2"))
    assert [job["state"] for job in jobs] == ["succeeded"] * 2
    assert capsys.readouterr().out.splitlines() == ["1 state", "job_1 state", "job_2 state"]


def test_the_notebook_of_the_page_shrinks_a_module_and_leaves_it_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = adapt.run
    fast = {"short_term_steps": 2, "long_term_epochs": 1, "executor": "serial", "allow_low_accuracy": True}
    counted = NOTEBOOK.replace('{"latency_ms": "60%"}', '{"macs": "60%"}')  # a profile would take most of a minute
    monkeypatch.setattr(adapt, "run", lambda *a, **k: run(*a, **k, **fast), raising=False)
    (tmp_path / "net.pt2").write_bytes(trained_pt2())
    network = build_module(read_pt2(tmp_path / "net.pt2")).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    drawn = np.random.default_rng(0)
    images = drawn.integers(0, 256, (120, SIDE, SIDE, 1), dtype=np.uint8)
    names: dict[str, Any] = {"network": network, "images": images, "labels": np.arange(120) % 10}
    exec(compile(counted, "docs/python.md", "exec"), names)
    assert network.training
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert names["small"].iterations > 0
    assert sum(p.numel() for p in names["module"].parameters()) < sum(p.numel() for p in network.parameters())
    assert len(repr(names["small"])) < 2000


def test_a_module_that_does_not_take_the_images_is_told_with_their_shape() -> None:
    import torch

    with pytest.raises(adapt.errors.AdaptError, match=r"images of \[1, 8, 8\] \(C, H, W; input_shape says otherwise\)"):
        adapt.run(torch.nn.Conv2d(3, 4, 3), {"macs": "50%"})


def test_the_page_names_verbs_and_parameters_that_there_are() -> None:
    client = netadapt.Client()
    for name in re.findall(
        r"`(check|wait|extend|family|proposals|iterations|watch|download|submit|cancel|pause)`", TEXT
    ):
        assert callable(getattr(client, name))
    client.close()
    assert f"{('three', 'four', 'five')[ATTEMPTS - 3]} times at most" in TEXT
    for page in re.findall(r"\]\((\w+\.md)\)", TEXT):
        assert (ROOT / "docs" / page).is_file()


def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "examples" / "shrink.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"accuracy 0\.\d+ -> [01]\.\d+, [1-9]\d* iterations", done.stdout), done.stdout
    assert "scores   [1, 10]" in done.stdout
    assert (tmp_path / "small.safetensors").is_file()
