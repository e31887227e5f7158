"""A job that is over, as the examples of the pages have one: eight iterations from 20 ms down to 4.8, made of rows."""

from sqlalchemy.orm import Session

from adapt.presets import PRESETS, settings_to_document
from app.blobs import BlobRepository
from app.database import database_now, unit_of_work
from app.records import new_id
from app.tables import CheckpointFileRow, CheckpointRow, EventRow, IterationRow, JobRow, ProposalRow
from tests.served_app import ServedApp

ITERATIONS = 8


def add_shown_job(app: ServedApp, owner: str, model: str) -> str:
    """Its id. Every checkpoint has the same bytes for a file."""
    blob = app.services.storage.put(b"a network")
    with unit_of_work(app.sessions) as session:
        BlobRepository(session).add_blob(blob.sha256, blob.bytes)
        job = _add_job(session, owner, model)
        for i in range(ITERATIONS + 1):
            _add_checkpoint(session, job, str(i), i, blob.sha256)
        _add_checkpoint(session, job, "final", ITERATIONS, blob.sha256)
        for i in range(1, ITERATIONS + 1):
            _add_iteration(session, job, i)
    return job


def _figures(i: int) -> dict:
    """Of what iteration `i` picked; 0 is the original."""
    ms = 20 - 1.9 * i
    latency = {"predicted": ms, "measured": ms, "low": ms - 0.1, "high": ms + 0.1}
    counted = {"macs": 10**8 - i * 10**7, "params": 10**6 - i * 90_000, "memory_bytes": 10**7 - i * 10**5}
    return {"latency_ms": latency, **counted, "accuracy": 0.99 - 0.01 * i}


def _add_job(session: Session, owner: str, model: str) -> str:
    now, job = database_now(session), new_id("job")
    ends = {"original": _figures(0), "current": _figures(ITERATIONS), "result": _figures(ITERATIONS)}
    session.add(
        JobRow(
            id=job, owner=owner, name=None, state="succeeded", model_id=model, dataset_id="digits", target_id="local",
            budget={"latency_ms": 5.0}, limits={"latency_ms": 5.0}, settings=settings_to_document(PRESETS["netadapt"]),
            lane="long", event_counter=1, created_at=now, finished_at=now, **ends,
        )
    )  # fmt: skip
    session.flush()
    session.add(EventRow(job_id=job, number=1, event="state", data={"id": job, "state": "succeeded"}, at=now))
    return job


def _add_checkpoint(session: Session, job: str, name: str, i: int, sha256: str) -> None:
    kind = {"0": "original", "final": "final"}.get(name, "pick")
    figures = _figures(i)
    row = CheckpointRow(
        job_id=job, checkpoint=name, number=i + (name == "final"), kind=kind, iteration=i, filters={},
        latency=figures.pop("latency_ms"), created_at=database_now(session), **figures,
    )  # fmt: skip
    session.add(row)
    session.flush()
    for file_format in ("onnx", "pt2", "safetensors"):
        session.add(CheckpointFileRow(checkpoint_id=row.id, format=file_format, bytes=9, sha256=sha256))


def _add_iteration(session: Session, job: str, i: int) -> None:
    now = database_now(session)
    plain = {name: value for name, value in _figures(i).items() if name in {"macs", "params", "memory_bytes"}}
    session.add(
        IterationRow(
            job_id=job, iteration=i, constraint={"latency_ms": 20 - 1.8 * i}, before=plain, after=plain, picked=[],
            started_at=now, finished_at=now,
        )
    )  # fmt: skip
    session.add(
        ProposalRow(
            id=new_id("prp"), job_id=job, number=i, iteration=i, group_id="features.3.0", layers=["features.3.0"],
            kind="plain", filters_before=64, state="skipped", reason="cannot meet the constraint alone", created_at=now,
        )
    )  # fmt: skip
