"""An owner with one of everything that the service can keep for somebody, by the names that paths have for it."""

import io
from typing import Any

import httpx
import numpy as np

from adapt.latency.reading import Plan
from adapt.latency.table import Entry, LookupTable
from app.agent.orders import OrderBook
from app.agent.records import ReadingOrder
from app.blobs import BlobRepository
from app.database import database_now, unit_of_work
from app.records import new_id
from app.tables import (
    CheckpointFileRow,
    CheckpointRow,
    EventRow,
    IterationRow,
    JobRow,
    ProposalRow,
    TaskRow,
    WebhookRow,
)
from app.targets.lookup import LookupRepository
from tests.latency import CONDITIONS
from tests.rows import add_model
from tests.served_app import ServedApp

MARK = "of-ann-alone"
"""Stands in every name and text of hers."""
SHAPE = "7x8x8>16x8x8"
"""Of a layer of her model, which was measured on the machine that everybody may measure on."""


def one_of_everything(app: ServedApp, client: httpx.Client, owner: str) -> dict[str, str]:
    """Parameter of a path -> the value that names hers, or a part of it."""
    dataset = client.post("/v1/datasets", files={"file": ("d.npz", _images())}, data={"name": MARK}).json()["id"]
    table = LookupTable(
        entries=(Entry(operator="conv", shape=SHAPE, ms=0.5, count=3, spread=0.1),),
        calibration=1.0,
        conditions=CONDITIONS,
    )
    asked = {"kind": "table", "name": MARK, "table": table.to_document()}
    target = client.post("/v1/targets", json=asked).json()["id"]
    blob = app.services.storage.put(b"a network of hers")
    with unit_of_work(app.sessions) as session:
        BlobRepository(session).add_blob(blob.sha256, blob.bytes)
        model = add_model(session, new_id("mdl"), owner=owner)
        LookupRepository(session).store_profile("local", model, table)
        job = _add_job(session, owner, model, dataset, target, blob.sha256)
        order = ReadingOrder(asker=job, candidate=blob.sha256, reference=blob.sha256, plan=Plan())
        task = OrderBook(session).ask(owner, target, order).id
        held = session.get_one(TaskRow, task)
        held.state, held.fence, held.lease_owner = "running", 1, "her-phone"
        webhook = _add_webhook(session, owner)
    return {
        "model_id": model,
        "dataset_id": dataset,
        "target_id": target,
        "job_id": job,
        "task_id": task,
        "webhook_id": webhook,
        "iteration": "1",
        "checkpoint": "0",
        "number": "0",
        "which": "candidate",
    }


def _images() -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        x_train=np.zeros((20, 8, 8, 1), np.uint8) + np.arange(20)[:, None, None, None].astype(np.uint8),
        y_train=np.arange(20) % 2,
    )
    return buffer.getvalue()


def _add_job(session: Any, owner: str, model: str, dataset: str, target: str, sha256: str) -> str:
    """Over, with one of each of its parts."""
    now, job = database_now(session), new_id("job")
    session.add(
        JobRow(
            id=job, owner=owner, name=MARK, state="failed", model_id=model, dataset_id=dataset, target_id=target,
            budget={"macs": "50%"}, settings={}, lane="long", event_counter=1, created_at=now, finished_at=now,
            error={"type": "about:blank", "title": MARK, "status": 500, "detail": MARK},
        )
    )  # fmt: skip
    session.flush()
    session.add(
        IterationRow(
            job_id=job, iteration=1, constraint={"macs": 9.0}, before={"macs": 10.0}, picked=[], started_at=now
        )
    )
    session.add(
        ProposalRow(
            id=new_id("prp"), job_id=job, number=1, iteration=1, group_id=MARK, layers=[MARK], kind="plain",
            filters_before=8, state="skipped", reason=MARK, created_at=now,
        )
    )  # fmt: skip
    checkpoint = CheckpointRow(
        job_id=job, checkpoint="0", number=0, kind="original", iteration=0, filters={MARK: 8}, created_at=now
    )
    session.add(checkpoint)
    session.flush()
    session.add(CheckpointFileRow(checkpoint_id=checkpoint.id, format="onnx", bytes=17, sha256=sha256))
    session.add(EventRow(job_id=job, number=1, event="message", data={"text": MARK}, at=now))
    session.flush()
    return job


def _add_webhook(session: Any, owner: str) -> str:
    webhook = new_id("whk")
    url = f"https://{MARK}.example/hook"
    now = database_now(session)
    events = ["job.succeeded"]
    session.add(WebhookRow(id=webhook, owner=owner, url=url, secret=f"whsec_{MARK}", events=events, created_at=now))
    session.flush()
    return webhook
