"""Network files over real HTTP: taken in, told apart by owner, and gone without a trace when refused."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import torch
from torch import nn

from adapt.checkpoint import read_safetensors
from app.blobs import BlobRepository
from app.database import unit_of_work
from app.models.repository import CHECK_TASK
from app.tables import BlobRow, ModelRow, TaskRow
from tests.live_api import LiveApi, live_api
from tests.pt2_files import Small, exported


@pytest.fixture(scope="module")
def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service"), database_url=database_url, max_upload_bytes=2_000_000) as running:
        yield running


@pytest.fixture(scope="module")
def network() -> bytes:
    torch.manual_seed(0)
    return exported(Small())


def post(client: httpx.Client, content: bytes, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
    return client.post("/v1/models", files={"file": ("net.pt2", content)}, data=fields, headers=headers)


def count(api: LiveApi, table: Any) -> int:
    with api.services.sessions() as session:
        return session.query(table).count()


def test_an_upload_is_read_and_waits_for_its_check(api: LiveApi, network: bytes) -> None:
    answer = post(api.client, network, name="mine", classes='["a", "b", "c", "d"]')
    assert answer.status_code == 201
    model = answer.json()
    assert answer.headers["location"] == f"/v1/models/{model['id']}"
    assert model["id"].startswith("mdl_")
    assert (model["name"], model["state"], model["format"], model["bytes"]) == ("mine", "checking", "pt2", len(network))
    assert (model["input_shape"], model["classes"], model["groups"]) == ([3, 8, 8], ["a", "b", "c", "d"], None)
    assert model["normalization"] == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert model["params"] == sum(p.numel() for p in Small().parameters())
    assert model["macs"] > 0
    assert api.client.get(f"/v1/models/{model['id']}").json() == model
    assert model in api.client.get("/v1/models").json()["data"]
    with api.services.sessions() as session:
        task = session.query(TaskRow).filter_by(kind=CHECK_TASK, key=model["id"]).one()
        assert (task.lane, task.owner) == ("short", "ann")


def test_only_a_file_that_we_wrote_is_kept(api: LiveApi, network: bytes) -> None:
    model = post(api.client, network).json()
    with api.services.sessions() as session:
        row = session.get_one(ModelRow, model["id"])
    assert row.weights_sha256 is not None
    assert row.weights_sha256 != model["sha256"]
    with api.services.storage.local_path(row.weights_sha256) as path:
        assert set(read_safetensors(path).weights) == set(Small().state_dict())


def test_the_same_upload_is_the_same_model_and_another_owner_gets_an_own_one(api: LiveApi, network: bytes) -> None:
    first, again, other = post(api.client, network), post(api.client, network, name="x"), post(api.stranger, network)
    assert (again.status_code, again.json()) == (200, first.json())
    assert other.status_code == 201
    assert other.json()["id"] != first.json()["id"]
    for method in ("GET", "DELETE"):
        assert api.stranger.request(method, f"/v1/models/{first.json()['id']}").status_code == 404
    assert first.json()["id"] not in api.stranger.get("/v1/models").text


def test_a_corrected_normalization_makes_another_model(api: LiveApi, network: bytes) -> None:
    first = post(api.client, network).json()
    fixed = post(api.client, network, normalization='{"mean": [0, 0, 0], "std": [1, 1, 1]}').json()
    assert fixed["id"] != first["id"]
    assert fixed["normalization"] == {"mean": [0, 0, 0], "std": [1, 1, 1]}


def test_a_checkpoint_of_ours_can_be_uploaded_again(api: LiveApi, network: bytes) -> None:
    model = post(api.client, network).json()
    with api.services.sessions() as session:
        weights = session.get_one(ModelRow, model["id"]).weights_sha256
    assert weights is not None
    again = post(api.client, api.services.storage.read(weights))
    assert (again.status_code, again.json()["format"], again.json()["macs"]) == (201, "safetensors", model["macs"])


class TwoInputs(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) + y.mean((2, 3))


class Dense(nn.Module):
    """A segmentation network: its output is [N, 2, H, W]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Cumulative(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.cumsum(x, 2).mean((2, 3)))


def two_inputs() -> bytes:
    buffer = io.BytesIO()
    images = torch.zeros(2, 3, 8, 8)
    torch.export.save(torch.export.export(TwoInputs(), (images, images)), buffer)
    return buffer.getvalue()


def with_nan() -> bytes:
    module = Small()
    with torch.no_grad():
        module.head.weight[0, 0] = torch.nan
    return exported(module)


def pickled() -> bytes:
    buffer = io.BytesIO()
    torch.save(Small().state_dict(), buffer)
    return buffer.getvalue()


def empty_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make", "status", "slug", "says"),
    [
        (lambda: b"", 415, "format-refused", "empty"),
        (lambda: b"not a zip at all", 415, "format-refused", "not a .pt2"),
        (lambda: exported(Small())[:3000], 415, "format-refused", "truncated"),
        (pickled, 415, "format-refused", "pickle"),
        (lambda: b"\x80\x04\x95" + b"x" * 100, 415, "format-refused", "pickle"),
        (empty_zip, 415, "format-refused", "models/model.json"),
        (two_inputs, 422, "network-refused", ""),
        (with_nan, 422, "network-refused", "head.weight"),
        (lambda: exported(Dense()), 422, "network-refused", "[N, classes]"),
        (lambda: exported(Cumulative()), 422, "unsupported-operator", "cumsum"),
    ],
)
def test_a_bad_network_is_refused_by_reason_and_leaves_nothing(
    api: LiveApi, make: Any, status: int, slug: str, says: str
) -> None:
    before = count(api, ModelRow), count(api, BlobRow), count(api, TaskRow), api.stored_files()
    answer = post(api.client, make())
    problem = answer.json()
    assert answer.status_code == problem["status"] == status, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"urn:netadapt:problem:{slug}"
    assert says in problem["detail"]
    assert (count(api, ModelRow), count(api, BlobRow), count(api, TaskRow), api.stored_files()) == before


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"normalization": "{"}, "/normalization"),
        ({"normalization": '{"mean": [0], "std": [1]}'}, "/normalization/mean"),
        ({"normalization": '{"mean": [0, 0, 0], "std": [1, 1, 0]}'}, "/normalization/std"),
        ({"classes": '["a"]'}, "/classes"),
        ({"name": " "}, "/name"),
        ({"architecture": "{}"}, "/architecture"),
        ({"normalisation": "{}"}, "/normalisation"),
    ],
)
def test_a_bad_field_is_named_and_leaves_nothing(
    api: LiveApi, network: bytes, fields: dict[str, str], pointer: str
) -> None:
    before = count(api, ModelRow), api.stored_files()
    answer = post(api.client, network, **fields)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (count(api, ModelRow), api.stored_files()) == before


def test_the_form_itself_is_checked(api: LiveApi) -> None:
    files = api.stored_files()
    too_large = post(api.client, b"x" * 2_000_001)
    assert (too_large.status_code, "2000000 bytes" in too_large.json()["detail"]) == (413, True)
    far_too_large = post(api.client, b"x" * 40_000_000)
    assert far_too_large.status_code == 413
    no_file = api.client.post("/v1/models", files={"name": (None, "x")})
    assert (no_file.status_code, no_file.json()["errors"][0]["pointer"]) == (422, "/file")
    wrong_type = api.client.post("/v1/models", json={})
    assert wrong_type.status_code == 415
    malformed = api.client.post(
        "/v1/models", content=b"--XX\r\n", headers={"content-type": "multipart/form-data; boundary=XX"}
    )
    assert malformed.status_code == 400
    assert api.stored_files() == files


def test_an_upload_without_a_declared_length_is_capped_too(api: LiveApi) -> None:
    start = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'

    def body() -> Iterator[bytes]:
        yield start
        for _ in range(50):
            yield b"x" * 100_000

    answer = api.client.post("/v1/models", content=body(), headers={"content-type": "multipart/form-data; boundary=XX"})
    assert answer.status_code == 413


def test_deleting_forgets_the_model_its_tasks_and_its_file(api: LiveApi) -> None:
    torch.manual_seed(7)
    model = post(api.client, exported(Small())).json()
    with api.services.sessions() as session:
        weights = session.get_one(ModelRow, model["id"]).weights_sha256
    assert weights is not None
    assert api.services.storage.exists(weights)
    assert api.client.delete(f"/v1/models/{model['id']}").status_code == 204
    assert not api.services.storage.exists(weights)
    with unit_of_work(api.services.sessions) as session:
        assert weights not in BlobRepository(session).list_hashes()
        assert session.query(TaskRow).filter_by(key=model["id"]).count() == 0
    for method in ("GET", "DELETE"):
        assert api.client.request(method, f"/v1/models/{model['id']}").status_code == 404


def test_an_unknown_model_is_not_found_by_id(api: LiveApi) -> None:
    answer = api.client.get("/v1/models/mdl_none")
    assert (answer.status_code, "mdl_none" in answer.json()["detail"]) == (404, True)


def test_a_listing_pages_newest_first(api: LiveApi, network: bytes) -> None:
    ids = [
        post(api.stranger, network, normalization=json.dumps({"mean": [n, 0, 0], "std": [1, 1, 1]})).json()["id"]
        for n in range(3)
    ]
    seen, cursor = [], None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = api.stranger.get("/v1/models", params=params).json()
        seen += [model["id"] for model in page["data"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen[:3] == ids[::-1]
    assert len(seen) == len(set(seen))
    assert api.stranger.get("/v1/models", params={"cursor": "nonsense"}).status_code == 422
    assert api.stranger.get("/v1/models", params={"limit": "0"}).status_code == 422


def test_an_idempotency_key_gives_the_first_answer_again(api: LiveApi, network: bytes) -> None:
    key = {"Idempotency-Key": "k1"}
    fields = {"normalization": '{"mean": [0, 0, 0], "std": [2, 2, 2]}'}
    first = post(api.client, network, headers=key, **fields)
    again = post(api.client, network, headers=key, **fields)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.json(), again.headers["location"]) == (first.json(), first.headers["location"])
    other = post(api.client, network, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "urn:netadapt:problem:idempotency-key-reused")
    assert post(api.stranger, network, headers=key, **fields).json()["id"] != first.json()["id"]


def test_a_refused_request_frees_its_key(api: LiveApi, network: bytes) -> None:
    key = {"Idempotency-Key": "k2"}
    assert post(api.client, b"nothing", headers=key).status_code == 415
    assert post(api.client, network, headers=key).status_code in (200, 201)
