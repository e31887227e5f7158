"""ONNX files over real HTTP: taken in like any other network, and what is refused leaves nothing behind."""

import io
from collections.abc import Iterator

import pytest

from adapt.checkpoint import read_safetensors
from app.tables import BlobRow, ModelRow
from tests.live_api import LiveApi, live_api
from tests.onnx_files import between, node

pytestmark = pytest.mark.databases("sqlite")  # its point is no SQL


@pytest.fixture(scope="module")
def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service"), database_url=database_url) as running:
        yield running


def test_an_onnx_file_becomes_a_model(api: LiveApi) -> None:
    assert "onnx" in api.client.get("/v1/info").json()["formats"]["models"]
    content = between([node("Relu", "s", "b")]).SerializeToString()
    answer = api.client.post("/v1/models", files={"file": ("net.bin", io.BytesIO(content))})
    assert answer.status_code == 201
    model = answer.json()
    assert (model["format"], model["input_shape"], model["class_count"]) == ("onnx", [3, 9, 8], 4)
    with api.services.sessions() as session:
        stored = session.get_one(ModelRow, model["id"]).weights_sha256
    with api.services.storage.local_path(stored) as path:
        assert "stem.weight" in read_safetensors(path).weights


def test_a_refused_onnx_file_names_the_node_and_leaves_no_row(api: LiveApi) -> None:
    def rows() -> tuple[int, int]:
        with api.services.sessions() as session:
            return session.query(ModelRow).count(), session.query(BlobRow).count()

    before = rows()
    content = between([node("QuantizeLinear", "s", "b")]).SerializeToString()
    answer = api.client.post("/v1/models", files={"file": ("net.onnx", io.BytesIO(content))})
    assert answer.status_code == 422
    assert "node_b" in answer.text
    assert "QuantizeLinear" in answer.text
    assert rows() == before
