"""/readyz says no, and of what, when this process could not do its work; /healthz only that it lives."""

import shutil
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from app.readiness import OK, Probe, Readiness
from app.settings import Settings
from app.storage import StorageFull
from tests.served_app import served_app


@pytest.fixture(name="app")
def _app(tmp_path: Path):
    with served_app(Settings(data_dir=tmp_path)) as running:
        yield running


def ready(app):
    with app.client() as client:
        return client.get("/readyz")


def fail_with(error: Exception):
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_it_is_ready_and_leaves_nothing_behind(app):
    answer = ready(app)
    assert (answer.status_code, answer.json()["checks"]) == (200, {"database": OK, "storage": OK})
    files = [path for path in Path(app.services.settings.storage_url).rglob("*") if path.is_file()]
    assert files == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (StorageFull(), "no room left"),
        (OSError(30, "Read-only file system"), "Read-only file system"),
        (RuntimeError("s3://key:secret@bucket"), "the log says why"),
    ],
)
def test_a_storage_that_cannot_be_written_is_named(app, monkeypatch, error, says):
    monkeypatch.setattr(app.services.storage, "put", fail_with(error))
    answer = ready(app)
    document = answer.json()
    assert (answer.status_code, document["type"]) == (503, "urn:netadapt:problem:not-ready")
    assert (document["checks"]["database"], says in document["checks"]["storage"]) == (OK, True)
    assert says in document["detail"]
    assert "secret" not in answer.text
    with app.client() as client:
        assert client.get("/healthz").status_code == 200


def test_a_storage_folder_that_is_gone_for_good_is_named(app):
    folder = Path(app.services.settings.storage_url)
    shutil.rmtree(folder)
    folder.write_text("a file where the folder should be")
    assert ready(app).json()["checks"]["database"] == OK
    assert ready(app).status_code == 503


def test_a_storage_that_gives_back_other_bytes_is_named(app, monkeypatch):
    monkeypatch.setattr(app.services.storage, "read", lambda sha256: b"other")
    assert "other bytes" in ready(app).json()["checks"]["storage"]


def test_a_database_of_another_version_is_named(app):
    with app.sessions() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        session.commit()
    checks = ready(app).json()["checks"]
    assert ("9999" in checks["database"], checks["storage"]) == (True, OK)


def test_a_busy_database_is_ready(app):
    """Somebody writes for a while: that keeps nobody from reading."""
    with app.sessions() as session:
        session.execute(text("DELETE FROM sessions"))  # holds the write lock
        assert ready(app).json()["checks"]["database"] == OK


def test_what_hangs_is_named_in_time_and_not_piled_upon(app, monkeypatch):
    release, begun = threading.Event(), []

    def hang(_content: bytes) -> None:
        begun.append(None)
        release.wait(60)

    monkeypatch.setattr("app.readiness.WAIT_S", 0.2)
    monkeypatch.setattr(app.services.storage, "put", hang)
    answers = [ready(app) for _ in range(3)]
    release.set()
    assert [answer.status_code for answer in answers] == [503] * 3
    assert "does not answer within" in answers[0].json()["checks"]["storage"]
    assert len(begun) == 1


def test_an_answer_is_good_for_a_moment():
    import anyio

    asked, now = [], 0.0

    def look() -> str:
        asked.append(None)
        return OK

    probe = Probe("disk", look, clock=lambda: now)
    assert [anyio.run(probe.say) for _ in range(5)] == [OK] * 5
    assert len(asked) == 1
    now = 1.5
    anyio.run(probe.say)
    assert len(asked) == 2


def test_both_are_looked_at(app):
    assert set(Readiness(app.sessions.kw["bind"], app.services.storage)._probes) == {"database", "storage"}
