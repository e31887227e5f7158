"""The zoo over real HTTP: the listing, and weights that come with an architecture's name."""

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save

from adapt.checkpoint import read_safetensors, write_safetensors
from adapt.zoo.catalogue import ARCHITECTURES, get_architecture
from adapt.zoo.initial import initial_network, initial_weights
from tests.live_api import LiveApi, live_api

NAME = "mobilenet_v2_0.35_32"
Tensors = dict[str, Any]


@pytest.fixture(scope="module")
def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service"), database_url=database_url) as running:
        yield running


@pytest.fixture
def state() -> Tensors:
    """A published state_dict: five classes, the zoo's names."""
    return initial_weights(get_architecture(NAME).graph(5), seed=1)


def post(api: LiveApi, content: bytes, **fields: str) -> httpx.Response:
    return api.client.post("/v1/models", files={"file": ("weights.safetensors", io.BytesIO(content))}, data=fields)


def test_the_listing_puts_our_counts_beside_the_papers(api: LiveApi) -> None:
    rows = {row["name"]: row for row in api.client.get("/v1/architectures").json()["data"]}
    assert list(rows) == list(ARCHITECTURES)
    row = rows["mobilenet_v1"]
    assert (row["macs"], row["params"]) == (568_740_352, 4_231_976)
    assert (row["paper"]["macs_millions"], row["paper"]["params_millions"]) == (569, 4.2)
    assert "1704.04861" in row["paper"]["reference"]
    assert (row["takes_se"], rows["efficientnet_b0"]["takes_se"]) == (True, False)
    assert "1709.01507" in rows["se_mobilenet_v1"]["paper"]["reference"]


def test_weights_and_a_zoo_name_make_a_model(api: LiveApi, state: Tensors) -> None:
    answer = post(api, save(state), architecture="mobilenet_v2_0.35_32", name="published")
    assert answer.status_code == 201
    model = answer.json()
    assert (model["architecture"], model["format"], model["class_count"]) == (NAME, "safetensors", 5)
    assert model["input_shape"] == [3, 32, 32]
    assert model["by_kind"]["conv1x1"]["macs"] > model["by_kind"]["depthwise"]["macs"] > 0
    assert sum(share["params"] for share in model["by_kind"].values()) == pytest.approx(1)
    with api.services.sessions() as session:
        from app.tables import ModelRow

        stored = session.get_one(ModelRow, model["id"]).weights_sha256
    with api.services.storage.local_path(stored) as path:
        weights = read_safetensors(path).weights
    assert all(np.array_equal(weights[name], tensor) for name, tensor in state.items())
    again = post(api, save(state), architecture="mobilenet_v2_0.35_032")
    assert again.status_code == 422
    assert post(api, save(state), architecture=NAME).status_code == 200


def test_weights_of_the_inception_family_are_normalised_as_published(api: LiveApi) -> None:
    shapes = get_architecture("googlenet_3x3_64").published_graph(5).weight_shapes
    published = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    model = post(api, save(published), architecture="googlenet_3x3_64").json()
    assert model["normalization"] == {"mean": [0.5] * 3, "std": [0.5] * 3}
    own = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    published["fc.bias"] += 1
    answer = post(api, save(published), architecture="googlenet_3x3_64", normalization=json.dumps(own))
    assert answer.json()["normalization"] == own


def test_counters_of_batch_norms_may_be_missing(api: LiveApi, state: Tensors) -> None:
    older = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert post(api, save(older), architecture=NAME).status_code == 201


def _missing(state: Tensors) -> str:
    del state["features.3.conv.0.0.weight"]
    return "features.3.conv.0.0.weight"


def _extra(state: Tensors) -> str:
    state["features.99.weight"] = np.zeros(3, np.float32)
    return "features.99.weight"


def _misshapen(state: Tensors) -> str:
    state["features.3.conv.0.0.weight"] = np.zeros((4, 4, 1, 1), np.float32)
    return "features.3.conv.0.0.weight"


def _not_finite(state: Tensors) -> str:
    state["classifier.1.bias"] = np.full(5, np.nan, np.float32)
    return "classifier.1.bias"


def _headless(state: Tensors) -> str:
    del state["classifier.1.weight"]
    return "classifier.1.weight"


def _flat_stem(state: Tensors) -> str:
    state["features.0.0.weight"] = np.zeros(4, np.float32)
    return "features.0.0.weight"


def _one_class(state: Tensors) -> str:
    state["classifier.1.weight"] = np.zeros((1, 1280), np.float32)
    return "classifier.1.weight"


@pytest.mark.parametrize("spoil", [_missing, _extra, _misshapen, _not_finite, _headless, _flat_stem, _one_class])
def test_a_tensor_at_fault_is_named_and_nothing_is_kept(api: LiveApi, state: Tensors, spoil: Any) -> None:
    before = len(api.stored_files())
    at_fault = spoil(state)
    answer = post(api, save(state), architecture=NAME)
    assert answer.status_code == 422
    assert at_fault in answer.json()["detail"]
    assert len(api.stored_files()) == before


def test_an_unknown_architecture_is_refused_by_its_field(api: LiveApi, state: Tensors) -> None:
    answer = post(api, save(state), architecture="mobilenet_v9")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/architecture"


def test_an_architecture_that_the_resolution_does_not_allow_is_refused(api: LiveApi, state: Tensors) -> None:
    answer = post(api, save(state), architecture="alexnet_32")
    assert answer.status_code == 422
    assert "32 x 32" in answer.json()["detail"]


def test_a_file_of_another_kind_takes_no_architecture(api: LiveApi) -> None:
    assert post(api, b"PK\x03\x04" + bytes(100), architecture=NAME).status_code == 415
    assert post(api, b"", architecture=NAME).status_code in {400, 415, 422}
    ours = write_safetensors(initial_network(get_architecture(NAME).graph(5), seed=1))
    answer = post(api, ours, architecture=NAME)
    assert (answer.status_code, "leave out" in answer.json()["detail"]) == (415, True)
    assert post(api, ours).status_code == 201


def test_garbage_in_a_header_is_refused(api: LiveApi) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}).encode()
    answer = post(api, len(header).to_bytes(8, "little") + header + bytes(4), architecture=NAME)
    assert answer.status_code == 422
