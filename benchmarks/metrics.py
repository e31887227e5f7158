"""How long a scrape of /metrics takes with 100,000 proposals in the database, on each database; one JSON line."""

import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.database import Sessions, database_now, unit_of_work
from app.metrics import DatabaseCollector
from app.table_base import Base
from app.tables import BlobRow, JobRow, ProposalRow, TaskRow, WebhookDeliveryRow, WebhookRow
from tests.databases import DATABASES, migrated_sessions
from tests.rows import add_dataset_and_target, add_model

RUNS = 20
SIZES = {"proposals": 100_000, "jobs": 2_000, "tasks": 20_000, "files": 20_000, "messages": 5_000}
QUEUED = 50
BATCH = 5_000
BAR_MS = 250.0


def fill(session: Session) -> None:
    """As a service is after some months: nearly all of it is over."""
    add_dataset_and_target(session)
    add_model(session)
    shared: dict[str, Any] = {"owner": "ann", "created_at": database_now(session)}
    job = shared | {"model_id": "mdl_a", "dataset_id": "dst_a", "target_id": "tgt_a", "budget": {}, "settings": {}}
    jobs = [
        job | {"id": f"job_{n}", "lane": "long", "state": "queued" if n < QUEUED else "succeeded"}
        for n in range(SIZES["jobs"])
    ]
    task = shared | {"kind": "model-check", "lane": "short", "state": "succeeded", "payload": {}}
    tasks = [task | {"id": f"tsk_{n}", "key": str(n)} for n in range(SIZES["tasks"])]
    at = {"created_at": shared["created_at"]}
    files = [at | {"sha256": f"{n:064d}", "bytes": n} for n in range(SIZES["files"])]
    hook = shared | {"id": "whk_a", "url": "https://example.org/", "secret": "", "events": []}
    message = shared | {"webhook_id": "whk_a", "job_id": "job_0", "event": "job.succeeded", "body": "x" * 3_000}
    messages = [message | {"id": f"dlv_{n}", "state": "delivered", "attempts": 1} for n in range(SIZES["messages"])]
    proposal = at | {"iteration": 1, "layers": [], "kind": "plain", "filters_before": 8, "state": "evaluated"}
    proposals = [
        proposal | {"id": f"prp_{n}", "job_id": f"job_{n % 1000}", "number": n, "group_id": f"g{n}", "picked": False}
        for n in range(SIZES["proposals"])
    ]
    _insert(session, JobRow, jobs)
    _insert(session, TaskRow, tasks)
    _insert(session, BlobRow, files)
    _insert(session, WebhookRow, [hook])
    _insert(session, WebhookDeliveryRow, messages)
    _insert(session, ProposalRow, proposals)


def _insert(session: Session, table: type[Base], rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), BATCH):
        session.execute(insert(table), rows[start : start + BATCH])


def scrape_ms(sessions: Sessions) -> list[float]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DatabaseCollector(sessions))
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        generate_latest(registry)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def main() -> int:
    medians: dict[str, float] = {}
    slowest: dict[str, float] = {}
    for kind in DATABASES:
        with tempfile.TemporaryDirectory() as folder, migrated_sessions(kind, Path(folder)) as sessions:
            with unit_of_work(sessions) as session:
                fill(session)
            taken = scrape_ms(sessions)
        medians[kind], slowest[kind] = round(statistics.median(taken), 1), round(max(taken), 1)
    conditions = {"runs": RUNS, "rows": SIZES, "cores": os.cpu_count(), "python": platform.python_version()}
    conditions["load"] = round(os.getloadavg()[0], 1)
    met = all(ms <= BAR_MS for ms in medians.values())
    print(json.dumps({"bench": "metrics", "met": met, "median_ms": medians, "slowest_ms": slowest, **conditions}))
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
