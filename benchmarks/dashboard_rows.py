"""A job with a long past, as the dashboard shows it: proposals beside picks, checkpoints, events, and its network."""

from collections.abc import Iterator
from random import Random
from typing import Any

from sqlalchemy import Select, insert, select
from sqlalchemy.orm import Session

from adapt.graph.network import Graph, Node
from adapt.presets import PRESETS, settings_to_document
from app.database import Sessions, database_now, unit_of_work
from app.jobs.documents import proposal_document
from app.jobs.rows import to_proposal
from app.records import new_id
from app.tables import CheckpointRow, EventRow, IterationRow, JobRow, ModelRow, ProposalRow

AT_ONCE = 5000
CHANNELS = 64
ORIGINAL_MS = 10.0
GRAPH = Graph(
    input_name="input",
    input_shape=(3, 32, 32),
    nodes=(
        Node(name="mean", operator="mean", inputs=("input",), attributes={"keepdim": False}, weights={}),
        Node(name="head", operator="linear", inputs=("mean",), attributes={}, weights={"weight": "w", "bias": "b"}),
    ),
    output="head",
    weight_shapes={"w": (10, 3), "b": (10,)},
)
"""Of the job's network: a check has something to read. Nothing finds the groups that its row names."""


def add_job(
    sessions: Sessions,
    *,
    owner: str,
    proposals: int,
    groups: int = 20,
    name: str = "a long search",
    state: str = "running",
) -> str:
    """The id of a job on its own network, with `proposals` in iterations of one for each of `groups`. It says that it
    is running, and no worker has it."""
    random = Random(0)
    with unit_of_work(sessions) as session:
        model = _add_model(session, owner, groups, name)
        iterations = -(-proposals // groups)
        job = _add_job(session, owner, model, name, state, iterations, events=proposals)
        rows = list(_proposals(session, job, proposals, groups, iterations, random))
        _insert(session, IterationRow, _iterations(session, job, iterations))
        _insert(session, ProposalRow, iter(rows))
        _insert(session, CheckpointRow, _checkpoints(session, job, iterations, groups))
        _insert(session, EventRow, _events(session, job, proposals))
    return job


def _insert(session: Session, table: type[Any], rows: Iterator[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == AT_ONCE:
            session.execute(insert(table), batch)
            batch = []
    if batch:
        session.execute(insert(table), batch)


def _add_model(session: Session, owner: str, groups: int, name: str) -> str:
    model = new_id("mdl")
    found = [
        {
            "id": f"features.{n}",
            "kind": "plain",
            "layers": [f"features.{n}.conv"],
            "channels": CHANNELS,
            "filters_each": 1,
            "prunable": True,
            "reason": None,
        }
        for n in range(groups)
    ]
    session.add(
        ModelRow(
            id=model, owner=owner, identity=model, name=name, state="ready", format="pt2", bytes=1000,
            graph=GRAPH.to_json(), groups=found, input_shape=[3, 32, 32], class_count=10,
            normalization={"mean": [0.5] * 3, "std": [0.5] * 3}, params=1_000_000, macs=100_000_000,
            memory_bytes=5_000_000, created_at=database_now(session),
        )
    )  # fmt: skip
    session.flush()
    return model


def _figures(done: float, accuracy: float, checkpoint: str) -> dict[str, Any]:
    ms = ORIGINAL_MS * (1 - 0.5 * done)
    latency = {"predicted": 1.01 * ms, "measured": ms, "low": 0.99 * ms, "high": 1.01 * ms}
    counts = {"macs": int(1e8 * (1 - 0.5 * done)), "params": int(1e6 * (1 - 0.5 * done)), "memory_bytes": 5_000_000}
    return {
        "latency_ms": latency,
        **counts,
        "peak_memory_bytes": None,
        "accuracy": accuracy,
        "holdout_accuracy": accuracy + 0.01,
        "checkpoint": checkpoint,
    }


def _accuracy(done: float) -> float:
    return 0.95 - 0.1 * done**2


def _add_job(session: Session, owner: str, model: str, name: str, state: str, iterations: int, *, events: int) -> str:
    now, job = database_now(session), new_id("job")
    session.add(
        JobRow(
            id=job, owner=owner, name=name, state=state, phase="adapting" if state == "running" else None,
            model_id=model, dataset_id="digits", target_id="local", budget={"latency_ms": "45%"},
            limits={"latency_ms": 0.45 * ORIGINAL_MS}, settings=settings_to_document(PRESETS["netadapt"]), lane="long",
            event_counter=events, original=_figures(0, 0.95, "0"), current=_figures(1, _accuracy(1), str(iterations)),
            progress={"fraction": 0.9, "iteration": iterations, "proposals_done": 3, "proposals_total": 20,
                      "eta_seconds": 600.0},
            lease_owner="nobody", created_at=now, started_at=now, finished_at=None if state == "running" else now,
        )
    )  # fmt: skip
    session.flush()
    return job


def _iterations(session: Session, job: str, count: int) -> Iterator[dict[str, Any]]:
    now = database_now(session)
    for number in range(1, count + 1):
        limit = {"latency_ms": ORIGINAL_MS * (1 - 0.5 * number / count)}
        yield {
            "job_id": job, "iteration": number, "constraint": limit, "before": limit, "after": limit, "picked": [],
            "started_at": now, "finished_at": now,
        }  # fmt: skip


def _proposals(
    session: Session, job: str, count: int, groups: int, iterations: int, random: Random
) -> Iterator[dict[str, Any]]:
    now = database_now(session)
    for number in range(1, count + 1):
        iteration = (number - 1) // groups + 1
        done, picked = iteration / iterations, (number - 1) % groups == iteration % groups
        ms = ORIGINAL_MS * (1 - 0.5 * done) * random.uniform(0.985, 1.0)
        accuracy = _accuracy(done) - (0.0 if picked else abs(random.gauss(0, 0.02)))
        yield {
            "id": new_id("prp"), "job_id": job, "number": number, "iteration": iteration,
            "group_id": f"features.{(number - 1) % groups}",
            "layers": [f"features.{(number - 1) % groups}.conv"], "kind": "plain",
            "filters_before": CHANNELS, "filters_after": CHANNELS - 8, "state": "evaluated",
            "reason": None if picked else "another proposal kept a higher accuracy",
            "predicted": {"latency_ms": ms, "macs": ms * 1e7, "params": ms * 1e5, "memory_bytes": ms * 5e5},
            "kept": list(range(CHANNELS - 8)), "accuracy": accuracy, "loss": 0.3, "delta_accuracy": accuracy - 0.95,
            "delta_latency_ms": -0.1, "slope": (accuracy - 0.95) / 0.01, "picked": picked, "steps": 100, "attempts": 1,
            "seconds": 2.0, "created_at": now,
        }  # fmt: skip


def _checkpoints(session: Session, job: str, iterations: int, groups: int) -> Iterator[dict[str, Any]]:
    now = database_now(session)
    for number in range(iterations + 1):
        done = number / iterations
        figures = _figures(done, _accuracy(done), str(number))
        yield {
            "job_id": job, "checkpoint": str(number), "number": number + 1, "kind": "pick" if number else "original",
            "iteration": number, "latency": figures["latency_ms"], "macs": figures["macs"], "params": figures["params"],
            "memory_bytes": figures["memory_bytes"], "accuracy": figures["accuracy"],
            "filters": {f"features.{n}": int(CHANNELS * (1 - done * n / (2 * groups))) for n in range(groups)},
            "created_at": now,
        }  # fmt: skip


def _events(session: Session, job: str, count: int) -> Iterator[dict[str, Any]]:
    now = database_now(session)
    for number in range(1, count + 1):
        data = {"text": f"a line of news, number {number}"}
        yield {"job_id": job, "number": number, "event": "message", "data": data, "at": now}


def add_news(sessions: Sessions, job: str, *, group: str) -> None:
    """One more proposal of the last iteration, as a worker records it."""
    with unit_of_work(sessions) as session:
        row = session.get_one(JobRow, job)
        row.event_counter += 1
        now, last = database_now(session), session.scalars(_last_proposal(job)).one()
        values = {column.key: getattr(last, column.key) for column in ProposalRow.__mapper__.column_attrs}
        new = {"id": new_id("prp"), "number": row.event_counter, "group_id": group, "picked": False, "created_at": now}
        proposal = ProposalRow(**values | new)
        session.add(proposal)
        session.flush()
        told = proposal_document(to_proposal(proposal))
        session.add(EventRow(job_id=job, number=row.event_counter, event="proposal", data=told, at=now))


def add_measurements(sessions: Sessions, job: str, latencies: dict[str, dict[str, Any]]) -> None:
    """What a worker tells of latencies, by their keys."""
    with unit_of_work(sessions) as session:
        row, now = session.get_one(JobRow, job), database_now(session)
        for key, latency in latencies.items():
            row.event_counter += 1
            told = {"key": key, "latency": latency}
            session.add(EventRow(job_id=job, number=row.event_counter, event="measurement", data=told, at=now))


def _last_proposal(job: str) -> Select[ProposalRow]:
    return select(ProposalRow).where(ProposalRow.job_id == job).order_by(ProposalRow.number.desc()).limit(1)
