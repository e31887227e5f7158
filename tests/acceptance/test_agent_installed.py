"""The extra `agent`, installed into an empty environment: it measures, and nothing heavy came with it."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from adapt.formats.onnx_writer import write_onnx
from adapt.latency.reading import Plan, reading_from_document
from app.agent.orders import OrderBook
from app.agent.records import ReadingOrder
from app.auth import TokenRepository
from app.blobs import BlobRepository
from app.database import reading, unit_of_work
from tests.live_api import LiveApi, live_api
from tests.networks import FAMILIES, uploaded

ROOT = Path(__file__).resolve().parents[2]
PLAN = Plan(minimum_pairs=6, minimum_s=0.0, maximum_s=0.2, profile_s=0.01)


@pytest.fixture(scope="module")
def netadapt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in a new environment, from a copy: a build leaves its folders where it runs."""
    folder = tmp_path_factory.mktemp("device")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "shared"))
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [folder / "venv" / "bin" / "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", source / "constraints.txt", f"{source}[agent]"], check=True, timeout=200)
    shutil.rmtree(source)
    return folder / "venv" / "bin" / "netadapt"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[LiveApi]:
    with live_api(tmp_path) as running:
        yield running


def run(*command: str | Path, folder: Path) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout


def test_nothing_heavy_comes_with_it_and_help_is_there(netadapt: Path, tmp_path: Path) -> None:
    installed = run(netadapt.parent / "pip", "list", "--format", "freeze", folder=tmp_path).lower()
    names = {line.partition("==")[0] for line in installed.splitlines()}
    assert {"netadapt-service", "httpx", "numpy", "onnxruntime", "typer", "rich"} <= names
    absent = {"torch", "torch-pruning", "onnx", "scipy", "scikit-learn", "sqlalchemy", "fastapi", "uvicorn", "pyarrow"}
    assert not names & absent
    assert "--provider" in run(netadapt, "agent", "--help", folder=tmp_path)


def test_it_measures_what_a_service_asks(netadapt: Path, tmp_path: Path, api: LiveApi) -> None:
    with unit_of_work(api.services.sessions) as session:
        secret = TokenRepository(session).create_token("ann", role="agent")[1]
    options = ["--url", str(api.client.base_url), "--token", secret, "--name", "phone-1", "--threads", "2"]
    log = tmp_path / "agent.log"
    with log.open("wb") as stream:
        process = subprocess.Popen([netadapt, "agent", *options], cwd=tmp_path, stdout=stream, stderr=stream)
    try:
        target = until_there(api.client, process, log)
        task_id = ask(api, target)
        found = reading_from_document(until_answered(api, task_id, process, log))
        assert (found.conditions.threads, found.conditions.runtime) == (2, "onnxruntime")
        assert any("Conv" in kernel.operator for kernel in found.kernels)
    finally:
        process.terminate()
        process.wait()
    assert process.returncode == 0


def until_there(client: httpx.Client, process: "subprocess.Popen[bytes]", log: Path) -> str:
    while not (found := [each for each in client.get("/v1/targets").json()["data"] if each["kind"] == "agent"]):
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    return str(found[0]["id"])


def ask(api: LiveApi, target_id: str) -> str:
    network = api.services.storage.put(write_onnx(uploaded(FAMILIES["mobilenet-v2"]())))
    order = ReadingOrder(asker="job_a", candidate=network.sha256, reference=network.sha256, plan=PLAN)
    with unit_of_work(api.services.sessions) as session:
        BlobRepository(session).add_blob(network.sha256, network.bytes)
        return OrderBook(session).ask("ann", target_id, order).id


def until_answered(api: LiveApi, task_id: str, process: "subprocess.Popen[bytes]", log: Path) -> object:
    while True:
        with reading(api.services.sessions) as session:
            task = OrderBook(session).find_task(task_id)
        assert task is not None
        assert task.error is None
        if task.result is not None:
            return task.result
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
