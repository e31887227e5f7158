"""Files that run code in torch.export.load run none here, whether they are refused or read."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapt.checkpoint import read_network
from adapt.errors import NetworkRefused
from app.tables import BlobRow, ModelRow
from tests.hostile_pt2 import ATTACKS, GOOD, endless_expression
from tests.live_api import LiveApi, live_api

pytestmark = pytest.mark.databases("sqlite")  # its point is no SQL

REFUSED = {
    "pickled_weight": "head.bias: is pickled",
    "legacy_weights": "model.pt: is a pickle, as torch 2.8 wrote it",
    "legacy_layout": "older torch.export",
    "legacy_in_front": "something in front of it",
    "legacy_behind": "older torch.export|something in front of it",
    "legacy_inside": "'serialized_exported_program.json': is not a name",
    "symbolic_weight": "head.bias: has a size that is not fixed",
    "placeholder_name": "is no name that a value may have",
    "parameter_name": "is no name that a weight may have",
    "keyword_name": "operator torch.ops.higher_order.wrap_with_set_grad_enabled is not supported",
    "file_operator": "operator torch.ops.aten.from_file.default is not supported",
    "outside_entry": "is not a name that an archive entry may have",
}
"""The others are read as the network that they hold; what would have run is never looked at."""

NOT_LIVE = {"legacy_in_front", "symbolic_offset", "symbolic_weight"}
"""What torch 2.13 itself refuses or never reaches. FACTS 6 names the kind of it, so that we do not rely on that."""

LOADER = """
import os, signal, sys, warnings, logging
warnings.simplefilter("ignore"); logging.disable(logging.CRITICAL)
import torch

def load(path):
    torch.export.load(path).module()(torch.zeros(2, 3, 8, 8))

torch.set_num_threads(1)  # a fork keeps no thread pool
good, *hostile = sys.argv[1:]
load(good)  # imports what loading needs, once
sys.path.insert(0, os.path.dirname(good))
for path in hostile:
    if os.fork() == 0:  # what one file breaks or stops, the next does not see
        signal.alarm(60)
        try:
            load(path)
        finally:
            os._exit(0)
    os.wait()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sentinels would appear; modules that lie there can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service"), database_url=database_url) as running:
        yield running


def test_the_payloads_are_live_in_torchs_own_loader(tmp_path: Path) -> None:
    paths = [tmp_path / "good.pt2"]
    paths[0].write_bytes(GOOD)
    for name, make in ATTACKS.items():
        paths.append(tmp_path / f"{name}.pt2")
        paths[-1].write_bytes(make(tmp_path / f"{name}_ran"))
    subprocess.run([sys.executable, "-c", LOADER, *map(str, paths)], stderr=subprocess.DEVNULL, check=True)
    ran = {name for name in ATTACKS if (tmp_path / f"{name}_ran").exists()}
    without = set() if shutil.which("g++") else {"compiled_code", "outside_entry"}  # torch looks for a compiler first
    assert ran - without == ATTACKS.keys() - NOT_LIVE - without


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_reading_a_hostile_file_runs_nothing(name: str, folder: Path) -> None:
    path, sentinel = folder / "net.pt2", folder / f"{name}_ran"
    path.write_bytes(ATTACKS[name](sentinel))
    before = sorted(folder.iterdir())
    if name in REFUSED:
        with pytest.raises(NetworkRefused, match=REFUSED[name]):
            read_network(path)
    else:
        (folder / "good.pt2").write_bytes(GOOD)
        assert read_network(path).graph == read_network(folder / "good.pt2").graph
        (folder / "good.pt2").unlink()
    assert sorted(folder.iterdir()) == before
    assert not sentinel.exists()


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_a_hostile_upload_runs_nothing_and_leaves_nothing(name: str, api: LiveApi, folder: Path) -> None:
    sentinel = folder / f"{name}_ran"
    content = ATTACKS[name](sentinel)
    before = rows(api), api.stored_files()
    answer = api.client.post("/v1/models", files={"file": (f"{name}.pt2", content)})
    assert not sentinel.exists()
    if name not in REFUSED:
        assert answer.status_code == 201, answer.json()
        return
    assert answer.status_code == answer.json()["status"] in (415, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (rows(api), api.stored_files()) == before


def rows(api: LiveApi) -> tuple[int, int]:
    with api.services.sessions() as session:
        return session.query(ModelRow).count(), session.query(BlobRow).count()


def test_an_endless_expression_is_never_computed(tmp_path: Path) -> None:
    """9**9**9**9 hangs torch's loader. A dynamic batch may be any expression; it is not looked at."""
    path = tmp_path / "net.pt2"
    path.write_bytes(endless_expression("strides"))
    assert read_network(path).graph.input_shape == (3, 8, 8)
    path.write_bytes(endless_expression("sizes"))
    assert read_network(path).graph.input_shape == (3, 8, 8)
