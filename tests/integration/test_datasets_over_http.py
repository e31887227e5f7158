"""Labelled images over real HTTP: facts at once, no pickle, and nothing kept of what is refused."""

import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from adapt.data.digits import digits
from app.tables import BlobRow, DatasetRow
from tests.live_api import LiveApi, live_api

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(40) % 4


@pytest.fixture(scope="module")
def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service"), database_url=database_url) as running:
        yield running


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def post(client: httpx.Client, content: bytes, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
    return client.post("/v1/datasets", files={"file": ("images.npz", content)}, data=fields, headers=headers)


def test_digits_is_always_there_and_says_what_the_library_brings(api: LiveApi) -> None:
    shown, real = api.client.get("/v1/datasets/digits").json(), digits()
    assert (shown["id"], shown["state"], shown["classes"]) == ("digits", "ready", list(real.classes))
    assert (shown["counts"], shown["splits"]) == (real.counts, dict(real.splits))
    assert shown["image_shape"] == list(real.image_shape)
    assert api.stranger.get("/v1/datasets").json()["data"][-1]["id"] == "digits"


def test_digits_cannot_be_deleted(api: LiveApi) -> None:
    answer = api.client.delete("/v1/datasets/digits")
    assert (answer.status_code, "always there" in answer.json()["detail"]) == (409, True)


def test_an_upload_is_ready_with_its_facts(api: LiveApi) -> None:
    content = npz(x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:8], y_test=LABELS[:8])
    answer = post(api.client, content, name="tiny")
    dataset = answer.json()
    assert (answer.status_code, dataset["state"], dataset["name"]) == (201, "ready", "tiny")
    assert (dataset["classes"], dataset["image_shape"]) == (["0", "1", "2", "3"], [8, 8, 1])
    assert dataset["counts"]["0"] == {"train": 10, "test": 2}
    assert dataset["bytes"] == len(content)
    assert api.client.get(answer.headers["location"]).json() == dataset
    assert b"".join(api.services.storage.open_range(dataset["sha256"])) == content


def test_the_same_bytes_are_the_same_data_set_and_belong_to_their_owner(api: LiveApi) -> None:
    content = npz(x_train=IMAGES, y_train=LABELS)
    first, again, other = post(api.client, content), post(api.client, content), post(api.stranger, content)
    assert (again.status_code, again.json()) == (200, first.json())
    assert (other.status_code, other.json()["id"] == first.json()["id"]) == (201, False)
    assert api.stranger.get(f"/v1/datasets/{first.json()['id']}").status_code == 404
    assert api.stranger.delete(f"/v1/datasets/{first.json()['id']}").status_code == 404


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: b"", "not an .npz"),
        (lambda: b"not a zip", "not an .npz"),
        (lambda: npz(x_train=IMAGES, y_train=LABELS)[:1000], "not an .npz"),
        (lambda: npz(x_train=IMAGES, y_train=LABELS.astype(object)), "Python objects"),
        (lambda: npz(x_train=np.array([{}] * 40, dtype=object), y_train=LABELS), "Python objects"),
        (lambda: npz(x_train=IMAGES), "y_train"),
        (lambda: npz(x_train=IMAGES, y_train=LABELS - 1), "negative"),
        (lambda: npz(x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS + 1), "y_test"),
        (lambda: npz(x_train=IMAGES.astype(np.float32), y_train=LABELS), "uint8"),
        (lambda: npz(x_train=IMAGES[:39], y_train=LABELS), "39 images"),
    ],
)
def test_a_bad_data_set_is_refused_by_reason_and_leaves_nothing(api: LiveApi, make: Any, says: str) -> None:
    def kept() -> tuple[Any, ...]:
        with api.services.sessions() as session:
            return session.query(DatasetRow).count(), session.query(BlobRow).count(), api.stored_files()

    before = kept()
    answer = post(api.client, make())
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:netadapt:problem:dataset-refused")
    assert says in answer.json()["detail"]
    assert kept() == before


def test_deleting_forgets_it(api: LiveApi) -> None:
    dataset = post(api.client, npz(x_train=IMAGES[::-1], y_train=LABELS)).json()
    assert api.client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    assert api.client.get(f"/v1/datasets/{dataset['id']}").status_code == 404


def test_an_idempotency_key_is_kept_apart_by_path_and_content(api: LiveApi) -> None:
    key, content = {"Idempotency-Key": "same"}, npz(x_train=IMAGES + 1, y_train=LABELS)
    first = post(api.client, content, headers=key)
    assert (first.status_code, post(api.client, content, headers=key).status_code) == (201, 201)
    assert post(api.client, content, headers=key, name="renamed").status_code == 422
