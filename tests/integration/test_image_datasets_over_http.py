"""Archives of images over real HTTP: ready at once or by a worker, reported, shown, and nothing kept of bad ones."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from adapt.latency.machine_lock import default_directory
from app.database import reading, unit_of_work
from app.datasets.repository import DatasetRepository
from app.datasets.service import DatasetService, IntakeLimits
from app.jobs.records import Job
from app.records import Caller
from app.tables import BlobRow, DatasetRow, TaskRow
from app.tasks.queue import TaskQueue
from app.uploads import UploadedFile
from tests.image_files import encoded, folders, write_tar, write_zip
from tests.live_api import LiveApi, live_api
from workers.assembly import read_dataset
from workers.service import Service
from workers.tasks import run_task

ANN = Caller(id="ann")


@pytest.fixture(scope="module")
def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service"), database_url=database_url) as running:
        yield running


@pytest.fixture
def worker(api: LiveApi) -> Service:
    return Service(
        sessions=api.services.sessions,
        storage=api.services.storage,
        settings=api.services.settings,
        lock_directory=default_directory(),
        worker_id="test",
    )


def post(client: httpx.Client, path: Path) -> httpx.Response:
    return client.post("/v1/datasets", files={"file": (path.name, path.read_bytes())})


def kept(api: LiveApi) -> tuple[Any, ...]:
    with api.services.sessions() as session:
        rows = [session.query(table).count() for table in (DatasetRow, BlobRow, TaskRow)]
    return *rows, sorted(api.stored_files())


def upload_for_a_worker(api: LiveApi, path: Path, caller: Caller = ANN) -> str:
    """As a large one would be: its data set is `checking`."""
    services, content = api.services, path.read_bytes()
    service = DatasetService(
        services.sessions,
        services.storage,
        services.scratch,
        IntakeLimits(reads=services.read_limits, images_at_once=0),
    )
    sha256 = hashlib.sha256(content).hexdigest()
    file = UploadedFile(path=path, sha256=sha256, bytes=len(content), filename=path.name)
    dataset, _new = service.store_upload(caller, file)
    assert dataset.state == "checking"
    return dataset.id


def work(worker: Service) -> None:
    with unit_of_work(worker.sessions) as session:
        claimed = TaskQueue(session).claim_next_task("test", lease_s=30)
    assert claimed is not None
    run_task(claimed, worker, lambda: False)


def test_a_small_archive_is_ready_at_once_with_its_report_and_thumbnails(api: LiveApi, tmp_path: Path) -> None:
    files = folders(each=8) | {"class0/grey.png": encoded("L"), "notes.txt": b"hello"}
    answer = post(api.client, write_zip(tmp_path / "animals.zip", files))
    dataset = answer.json()
    assert (answer.status_code, dataset["state"], dataset["name"]) == (201, "ready", "animals.zip")
    assert (dataset["classes"], dataset["image_shape"]) == (["class0", "class1", "class2"], [10, 12, 3])
    report = api.client.get(f"/v1/datasets/{dataset['id']}/report").json()
    assert report["counts"] == dataset["counts"]
    assert report["sizes"]["most_common"] == [{"size": [10, 12], "images": 25}]
    assert all(0.4 < mean < 0.6 for mean in report["channel_mean"])
    assert {"left out", "1 image grey"} <= {note[:8] if "left" in note else note[:12] for note in report["notes"]}
    links = report["thumbnails"]["links"]
    assert len(links) == report["thumbnails"]["count"] == 24
    shown = api.client.get(links[0])
    assert (shown.headers["content-type"], Image.open(io.BytesIO(shown.content)).size) == ("image/png", (12, 10))
    again = api.client.get(links[0], headers={"If-None-Match": shown.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert api.client.get(links[0].replace("/0", "/24")).status_code == 404
    assert api.stranger.get(links[0]).status_code == 404
    assert api.stranger.get(f"/v1/datasets/{dataset['id']}/report").status_code == 404


def test_digits_and_array_files_have_a_report_and_thumbnails_too(api: LiveApi) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x_train=np.full((20, 8, 8, 1), 51, np.uint8), y_train=np.arange(20) % 2)
    uploaded = api.client.post("/v1/datasets", files={"file": ("a.npz", buffer.getvalue())}).json()["id"]
    for dataset, mean in (("digits", 0.305), (uploaded, 0.2)):
        report = api.client.get(f"/v1/datasets/{dataset}/report").json()
        assert report["channel_mean"] == [pytest.approx(mean, abs=0.01)]
        thumbnail = api.client.get(report["thumbnails"]["links"][3])
        assert Image.open(io.BytesIO(thumbnail.content)).size == (8, 8)


def test_a_large_archive_is_decoded_once_by_a_worker_and_then_mapped(
    api: LiveApi, worker: Service, tmp_path: Path
) -> None:
    dataset = upload_for_a_worker(api, write_tar(tmp_path / "x.tar", folders(each=7)))
    waiting = api.client.get(f"/v1/datasets/{dataset}/report").json()
    assert (waiting["state"], waiting["sizes"], waiting["thumbnails"]["count"]) == ("checking", None, 0)
    work(worker)
    ready = api.client.get(f"/v1/datasets/{dataset}").json()
    assert (ready["state"], ready["splits"]["train"], ready["splits"]["test"]) == ("ready", 17, 4)
    job = Job.__new__(Job)
    object.__setattr__(job, "owner", "ann")
    object.__setattr__(job, "dataset_id", dataset)
    with read_dataset(job, worker) as data:
        assert isinstance(data.train.images, np.memmap)
        assert str(data.train.images.filename).endswith("images.npy")
        assert data.counts == ready["counts"]


def test_what_a_worker_cannot_decode_is_refused_with_its_reason_and_its_file_goes_at_once(
    api: LiveApi, worker: Service, tmp_path: Path
) -> None:
    before = kept(api)
    broken = write_zip(tmp_path / "x.zip", {name: content[:70] for name, content in folders(each=4).items()})
    dataset = upload_for_a_worker(api, broken)
    work(worker)
    shown = api.client.get(f"/v1/datasets/{dataset}").json()
    assert (shown["state"], shown["sha256"]) == ("refused", None)
    assert (
        "12 of 12 images (100%) cannot be decoded, at most 5% may be; the first are class0/0.png"
        in shown["error"]["detail"]
    )
    assert (kept(api)[1], kept(api)[3]) == (before[1], before[3])
    zoo = {"model": "mobilenet_v1_0.25", "dataset": dataset, "budget": {"params": "50%"}}
    answer = api.client.post("/v1/jobs", json=zoo)
    assert (answer.status_code, "was refused: 12 of 12 images" in answer.text) == (422, True)
    again = upload_for_a_worker(api, broken)  # the same bytes are looked at anew
    assert again != dataset
    work(worker)
    for refused in (dataset, again):
        assert api.client.delete(f"/v1/datasets/{refused}").status_code == 204
    assert kept(api)[3] == before[3]


def test_a_refused_data_set_is_listed_for_a_day_and_then_forgotten(
    api: LiveApi, worker: Service, tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "x.zip", {name: content[:60] for name, content in folders(each=4).items()})
    dataset = upload_for_a_worker(api, path)
    work(worker)
    for older_than_s, status in ((3600, 200), (0, 404)):
        with unit_of_work(worker.sessions) as session:
            DatasetRepository(session).forget_refused(older_than_s=older_than_s)
        assert api.client.get(f"/v1/datasets/{dataset}").status_code == status


def test_a_file_that_somebody_else_has_sent_as_well_stays_when_it_is_refused(
    api: LiveApi, worker: Service, tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "x.zip", {name: content[:65] for name, content in folders(each=4).items()})
    refused, waiting = upload_for_a_worker(api, path), upload_for_a_worker(api, path, Caller(id="bob"))
    work(worker)
    with reading(worker.sessions) as session:
        theirs = DatasetRepository(session).get_dataset(Caller(id="bob"), waiting)
    assert theirs.sha256 is not None
    assert worker.storage.exists(theirs.sha256)
    work(worker)
    assert not worker.storage.exists(theirs.sha256)
    assert api.client.delete(f"/v1/datasets/{refused}").status_code == 204


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (folders() | {"../../evil.png": b""}, "leads out of the archive"),
        (folders(classes=1), "one class only (class0)"),
        (folders() | {"lonely/1.png": encoded()}, "class lonely: has 1 image, three are the least"),
        (folders() | {"class0/cut.jpg": encoded(kind="JPEG")[:-60]}, "1 of 19 images (5%) cannot be decoded"),
        ({"readme.txt": b"hello"}, "no JPEG, PNG or WebP"),
    ],
)
def test_a_bad_archive_is_refused_by_reason_and_leaves_nothing(
    api: LiveApi, tmp_path: Path, files: dict[str, bytes], says: str
) -> None:
    before = kept(api)
    for path in (write_zip(tmp_path / "x.zip", files), write_tar(tmp_path / "x.tar", files)):
        answer = post(api.client, path)
        assert answer.status_code == 422
        assert says in answer.json()["detail"]
    assert kept(api) == before


@pytest.mark.parametrize(
    "content", [b"BZh91AY", b"PAR1" + bytes(40), b"\x1f\x8b\x08" + bytes(40), b"GIF89a" + bytes(9)]
)
def test_what_is_no_data_set_at_all_is_refused_and_leaves_nothing(api: LiveApi, tmp_path: Path, content: bytes) -> None:
    before = kept(api)
    (tmp_path / "x").write_bytes(content)
    answer = post(api.client, tmp_path / "x")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:netadapt:problem:dataset-refused")
    assert kept(api) == before
