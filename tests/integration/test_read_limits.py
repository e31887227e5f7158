"""What parsing an upload may take is a setting, stated by /v1/info and by the answer that refuses."""

import io
import re
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from adapt.errors import NetworkRefused
from app.settings import Settings
from app.tables import BlobRow, DatasetRow, ModelRow, TargetRow
from tests.image_files import folders
from tests.live_api import LiveApi, live_api
from tests.pt2_files import MODEL, edited, entries, small_pt2, with_entry

GIB, MIB = 1 << 30, 1 << 20
LIMITS: dict[str, Any] = {
    "max_upload_bytes": 24 * MIB,
    "max_network_bytes": MIB,
    "max_read_memory_bytes": GIB // 2,
    "max_unpacked_bytes": 96 * MIB,
    "max_archive_entries": 40,
    "max_expansion": 2,
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service"), **LIMITS, max_body_bytes=64 << 10) as running:
        yield running


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service"), max_read_s=1, max_reads_at_once=1) as running:
        yield running


def left(api: LiveApi) -> tuple[int, list[Path]]:
    with api.services.sessions() as session:
        rows = sum(session.query(table).count() for table in (ModelRow, DatasetRow, BlobRow, TargetRow))
    return rows, api.stored_files()


def zip_of(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def large_network() -> bytes:
    """Its graph is one long text, of which a parser holds several copies."""
    return edited(small_pt2(), model=lambda document: document.update(comment=["x" * 100] * 60_000))


def network_of_many_values() -> bytes:
    data = small_pt2()
    graph = entries(data)[MODEL]
    return with_entry(data, MODEL, graph[:-1] + b', "comment": [' + b'{"":{}},' * 2_400_000 + b"{}]}")


def wide_network() -> bytes:
    """512 x 512 pixels by its own account."""

    def change(document: Any) -> None:
        for meta in document["graph_module"]["graph"]["tensor_values"].values():
            if len(meta["sizes"]) == 4:
                meta["sizes"][2:] = [{"as_int": 64 * size["as_int"]} for size in meta["sizes"][2:]]

    return edited(small_pt2(), model=change)


def packed_zeros() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in {**folders(2, 3), "a/zeros.png": bytes(72 * MIB)}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def deflated_arrays() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, x_train=np.zeros((100, 1024, 1024, 1), np.uint8), y_train=np.arange(100) % 2)
    return file.getvalue()


UPLOADS: dict[str, tuple[str, Callable[[], bytes], int]] = {
    "max_upload_bytes": ("/v1/models", lambda: bytes(24 * MIB + 1), 413),
    "max_network_bytes": ("/v1/models", wide_network, 422),
    "max_read_memory_bytes": ("/v1/models", network_of_many_values, 422),
    "max_unpacked_bytes": ("/v1/datasets", deflated_arrays, 422),
    "max_archive_entries": ("/v1/datasets", lambda: zip_of(folders(2, 21)), 422),
    "max_expansion": ("/v1/datasets", packed_zeros, 422),
}


@pytest.mark.parametrize("limit", UPLOADS)
def test_an_upload_beyond_a_limit_is_refused_by_the_limits_name_and_leaves_nothing(limit: str, api: LiveApi) -> None:
    path, content, status = UPLOADS[limit]
    stated, before = api.client.get("/v1/info").json()["limits"], left(api)
    answer = api.client.post(path, files={"file": ("upload", content())})
    assert answer.status_code == status, answer.text
    assert f"limit {limit}" in answer.json()["detail"]
    assert stated[limit] == LIMITS[limit]
    value = LIMITS[limit] // (MIB if limit in {"max_read_memory_bytes", "max_network_bytes"} else 1)
    if limit != "max_read_memory_bytes":  # beside four times the file
        assert re.search(rf"\b{value}\b", answer.json()["detail"])
    assert left(api) == before


def test_an_upload_that_takes_too_long_is_refused_by_the_limits_name_and_leaves_nothing(hurried: LiveApi) -> None:
    before = left(hurried)
    answer = hurried.client.post("/v1/models", files={"file": ("upload", large_network())})
    assert answer.status_code == 422
    assert "limit max_read_s" in answer.json()["detail"]
    assert hurried.client.get("/v1/info").json()["limits"]["max_read_s"] == 1
    assert left(hurried) == before


def test_uploads_that_wait_for_their_turn_hold_up_nobody_else(
    hurried: LiveApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than there are threads for everybody, one read at a time, the first of which does not end."""
    started, ended, reads = threading.Event(), threading.Event(), []

    def read(path: Path, *_: object, **__: object) -> None:
        reads.append(path)
        started.set()
        assert ended.wait(60)
        raise NetworkRefused("", "read to its end")

    monkeypatch.setattr("app.models.service.read_in_child", read)
    with ThreadPoolExecutor(60) as pool:
        sent = [pool.submit(_send, hurried, n) for n in range(60)]
        assert started.wait(60)
        while len(hurried.stored_files()) < len(sent):  # all of them have arrived
            time.sleep(0.02)
        answers = [hurried.client.get("/v1/jobs").status_code for _ in range(3)]
        read_before = len(reads)
        ended.set()
    assert answers == [200, 200, 200]
    assert read_before == 1
    assert {answer.result() for answer in sent} == {422}


def _send(api: LiveApi, number: int) -> int:
    return httpx.post(
        api.client.base_url.join("/v1/models"),
        headers=api.client.headers,
        files={"file": ("upload", b"PK" + bytes(number))},
        timeout=120,
    ).status_code


def test_a_large_look_up_table_is_read_in_a_child_and_refused_as_a_small_one_is(api: LiveApi) -> None:
    rows = [{"operator": "linear", "shape": f"{n}>10/16", "ms": 0.5, "count": 1, "spread": 0.0} for n in range(1, 2001)]
    texts = dict.fromkeys(("runtime", "runtime_version", "provider", "precision", "cpu", "instruction_set"), "x")
    table = {
        **{"schema": "netadapt-lookup-table", "version": 1, "calibration": 1.0, "entries": rows},
        "conditions": {**texts, "threads": 1, "batch": 1},
    }
    answer = api.client.post("/v1/targets", json={"kind": "table", "name": "large", "table": table})
    assert answer.status_code == 201, answer.text
    stored = api.client.get(f"/v1/targets/{answer.json()['id']}/lookup-table").json()
    assert len(stored["entries"]) == len(rows)
    rows[1900]["ms"] = -1
    refused = api.client.post("/v1/targets", json={"kind": "table", "table": table})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:netadapt:problem:table-refused")
    assert "entries[1900].ms" in refused.json()["detail"]
    surplus = api.client.post("/v1/targets", json={"kind": "table", "table": table, "more": 1})
    assert surplus.json()["errors"][0]["pointer"] == "/more"


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (
            b'{"kind": "table", "table": {"a": [' + b'{"":{}},' * 1_900_000 + b"{}]}}",
            422,
            "limit max_read_memory_bytes",
        ),
        (b'{"kind": "table", "table": [' + b"[" * 2_000_000, 400, "JSON"),
        (b'{"kind": "table", "table": {"a": "' + b"\\u0000" * 400_000 + b'"}}', 400, "NUL"),
        (b'{"kind": "table", "name": "' + b"n" * 2_000_000 + b'"}', 422, "/name"),
        (b"9" * 2_000_000, 400, "JSON"),
        (b"NaN," * 500_000, 400, "JSON"),
    ],
    ids=["many", "deep", "nul", "name", "digits", "nan"],
)
def test_a_large_document_that_is_a_bomb_is_refused_and_leaves_nothing(
    body: bytes, status: int, named: str, api: LiveApi
) -> None:
    before = left(api)
    answer = api.client.post("/v1/targets", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert named in answer.text
    assert len(answer.text) < 5000
    assert left(api) == before


def test_every_limit_of_reading_is_a_setting_and_on_the_operators_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    section = page.partition("## Untrusted files")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(max_\w+)` \| ([^|]+?) \|", section, flags=re.MULTILINE))
    assert rows.keys() == {*LIMITS, "max_read_s", "max_reads_at_once"}
    for name, shown in rows.items():
        default = Settings.model_fields[name].default
        assert shown == (f"{default >> 30} GiB" if name.endswith("_bytes") else f"{int(default):,}")


def test_a_picture_that_is_small_in_the_archive_takes_no_more_than_its_pixels_may(api: LiveApi) -> None:
    """A PNG of 100 million grey pixels is a few hundred kilobytes."""
    file = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")
    content = zip_of({**folders(2, 12), "class0/huge.png": file.getvalue()})
    answer = api.client.post("/v1/datasets", files={"file": ("upload.zip", content)})
    assert answer.status_code == 201
    report = api.client.get(f"/v1/datasets/{answer.json()['id']}/report").json()
    assert report["unreadable"]["count"] == 1
