"""One row of every table, written into a database of any version: only the columns that it has by then are filled."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, MetaData, Table, insert

from adapt.graph.pruning import groups_to_json
from tests.feasible import GROUPS, NETWORK
from tests.latency import CONDITIONS

THEN = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
WEIGHTS, PICK, EPOCH, IMAGES = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
GROUP = GROUPS[0].id
_SCORE = {"accuracy": 0.9, "loss": 0.5, "images": 144}
SCORES = {"holdout": _SCORE, "test": _SCORE}
LATENCY = {"predicted": 2.0, "measured": 2.5, "low": 2.4, "high": 2.6}
FIGURES = {"latency_ms": LATENCY, "macs": 5, "params": 6, "memory_bytes": 7, "accuracy": 0.5, "checkpoint": "1"}
_OWNED = {"owner": "ann", "name": "of before", "created_at": THEN}
_FINGERPRINT = {"id": CONDITIONS.fingerprint(), **CONDITIONS.to_json()}


def fill(connection: Connection) -> set[str]:
    """A row in every table that is there, and their names. Two jobs: one is over, the other goes on from it."""
    metadata = MetaData()
    metadata.reflect(connection)
    names = {table.name for table in metadata.sorted_tables} - {"alembic_version"}
    for table in metadata.sorted_tables:
        for row in _ROWS.get(table.name, []):
            connection.execute(insert(table).values(_as_far_as_there(table, row)))
    connection.commit()
    return names


def filled_tables() -> set[str]:
    return set(_ROWS)


def _as_far_as_there(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name in table.columns}


def _job(job_id: str, state: str, **values: Any) -> dict[str, Any]:
    return {
        **_OWNED,
        "id": job_id,
        "state": state,
        "model_id": "mdl_old",
        "dataset_id": "dst_old",
        "target_id": "tgt_old",
        "budget": {"macs": "50%"},
        "settings": {"preset": "quick"},
        "lane": "long",
        "fence": 3,
        "attempts": 0,
        "event_counter": 1,
        "recorded": 1,
        "recorded_at_claim": 0,
        "ran_s": 0.0,
        "current": FIGURES,
        **values,
    }


_ROWS: dict[str, list[dict[str, Any]]] = {
    "blobs": [{"sha256": sha256, "bytes": 3, "created_at": THEN} for sha256 in (WEIGHTS, PICK, EPOCH, IMAGES)],
    "models": [
        {
            **_OWNED,
            "id": "mdl_old",
            "identity": "m",
            "state": "ready",
            "format": "pt2",
            "sha256": "e" * 64,
            "bytes": 4,
            "graph": NETWORK.graph.to_json(),
            "weights_sha256": WEIGHTS,
            "input_shape": list(NETWORK.graph.input_shape),
            "class_count": 10,
            "classes": ["a", "b"],
            "normalization": {"mean": [0.5], "std": [0.25]},
            "params": 10,
            "macs": 20,
            "memory_bytes": 30,
            "groups": [],
            "plan": groups_to_json(GROUPS),
        }
    ],
    "datasets": [
        {
            **_OWNED,
            "id": "dst_old",
            "identity": "d",
            "state": "ready",
            "format": "npz",
            "sha256": IMAGES,
            "bytes": 5,
            "classes": ["a", "b"],
            "counts": {"a": {"train": 1, "test": 1}},
            "image_shape": [8, 8, 1],
            "splits": {"train": 2, "test": 1},
            "report": {"notes": ["as it was"]},
        }
    ],
    "targets": [
        {
            **_OWNED,
            "id": "tgt_old",
            "kind": "table",
            "runtime": "onnxruntime",
            "provider": "CPUExecutionProvider",
            "threads": 1,
            "batch": 1,
            "precision": "float32",
            "fingerprint": _FINGERPRINT,
            "state": "ready",
        }
    ],
    "lookup_entries": [
        {
            "target_id": "tgt_old",
            "operator": "conv",
            "shape_key": "1x2",
            "conditions_key": "fixed",
            "ms": 1.5,
            "count": 7,
            "spread": 0.1,
            "conditions": CONDITIONS.to_json(),
            "calibration": {"factor": 1.25},
            "created_at": THEN,
        }
    ],
    "network_latencies": [
        {
            "target_id": "tgt_old",
            "model_id": "mdl_old",
            "conditions_key": CONDITIONS.fingerprint(),
            "structure": "s",
            "ms": 1.0,
            "low": 0.9,
            "high": 1.1,
            "original_ms": 2.0,
            "created_at": THEN,
        }
    ],
    "tasks": [
        {
            "id": "tsk_old",
            "owner": "ann",
            "kind": "model-check",
            "key": "mdl_old",
            "lane": "short",
            "state": "succeeded",
            "payload": {"model": "mdl_old"},
            "result": {"found": 1},
            "fence": 1,
            "attempts": 1,
            "created_at": THEN,
            "finished_at": THEN,
        }
    ],
    "jobs": [
        _job("job_old", "succeeded", result=FIGURES, original=FIGURES, started_at=THEN, finished_at=THEN),
        _job("job_next", "queued", continues="job_old", requested=None),
    ],
    "job_values": [{"job_id": "job_old", "key": "original", "value": SCORES, "created_at": THEN}],
    "measurements": [{"job_id": "job_old", "key": "0", "latency": {"ms": 2.5}, "created_at": THEN}],
    "epoch_states": [
        {"job_id": "job_old", "epoch": 1, "epochs": 2, "holdout": None, "sha256": EPOCH, "created_at": THEN}
    ],
    "iterations": [
        {
            "job_id": "job_old",
            "iteration": 1,
            "constraint": {"macs": 4.0},
            "before": {"macs": 5.0},
            "after": {"macs": 4.0},
            "picked": ["prp_old"],
            "kept": {GROUP: [0, 1]},
            "started_at": THEN,
            "finished_at": THEN,
        }
    ],
    "proposals": [
        {
            "id": "prp_old",
            "job_id": "job_old",
            "number": 1,
            "iteration": 1,
            "group_id": GROUP,
            "layers": ["first"],
            "kind": "plain",
            "filters_before": 4,
            "filters_after": 2,
            "state": "evaluated",
            "kept": [0, 1],
            "accuracy": 0.5,
            "picked": True,
            "created_at": THEN,
        }
    ],
    "checkpoints": [
        {
            "id": 1,
            "job_id": "job_old",
            "checkpoint": "1",
            "number": 1,
            "kind": "pick",
            "iteration": 1,
            "latency": LATENCY,
            "macs": 5,
            "filters": {GROUP: 2},
            "kept": {GROUP: [0, 1]},
            "created_at": THEN,
        }
    ],
    "checkpoint_files": [{"checkpoint_id": 1, "format": "safetensors", "bytes": 3, "sha256": PICK}],
    "events": [
        {"job_id": "job_old", "number": 1, "event": "message", "data": {"text": "of before"}, "at": THEN},
        {"job_id": "job_next", "number": 1, "event": "state", "data": {"state": "queued"}, "at": THEN},
    ],
    "tokens": [{"id": "tok_old", "hash": "f" * 64, "owner": "ann", "name": "mine", "role": "user", "created_at": THEN}],
    "sessions": [
        {
            "hash": "0" * 64,
            "owner": "ann",
            "token_id": "tok_old",
            "created_at": THEN,
            "expires_at": THEN + timedelta(days=36_500),
        }
    ],
    "idempotency_keys": [
        {
            "owner": "ann",
            "method": "POST",
            "path": "/v1/jobs",
            "key": "k",
            "content_hash": "1" * 64,
            "status": 202,
            "headers": {"Location": "/v1/jobs/job_old"},
            "body": b'{"id": "job_old"}',
            "created_at": THEN + timedelta(days=36_500),
        }
    ],
    "webhooks": [
        {
            "id": "whk_old",
            "owner": "ann",
            "url": "https://example.org/",
            "secret": "s",
            "events": ["job.succeeded"],
            "created_at": THEN,
        }
    ],
    "webhook_deliveries": [
        {
            "id": "dlv_old",
            "owner": "ann",
            "webhook_id": "whk_old",
            "job_id": "job_old",
            "event_number": 1,
            "event": "job.succeeded",
            "body": "{}",
            "state": "queued",
            "attempts": 0,
            "created_at": THEN,
        }
    ],
    "counters": [{"name": "proposals", "label": "raced-out", "value": 3.0}],
    "workers": [{"id": "host:long:1", "lane": "long", "started_at": THEN, "seen_at": THEN}],
}
