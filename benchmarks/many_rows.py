"""A database with a long past: jobs that are over, one of them with a hundred thousand proposals."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.database import database_now, make_engine, make_sessions, unit_of_work
from app.records import LOCAL_CALLER, new_id
from app.tables import EventRow, IterationRow, JobRow, ProposalRow

AT_ONCE = 5000
PER_ITERATION = 100


def add_past(database_url: str, *, proposals: int, jobs: int) -> str:
    """The id of the job with the `proposals`, beside as many events. All are copies of a job that is there."""
    engine = make_engine(database_url)
    with unit_of_work(make_sessions(engine)) as session:
        like = session.scalars(select(JobRow).where(JobRow.owner == LOCAL_CALLER.id).limit(1)).one()
        values = {column.key: getattr(like, column.key) for column in JobRow.__mapper__.column_attrs}
        made = [
            values | {"id": new_id("job"), "created_at": like.created_at - timedelta(seconds=n)} for n in range(jobs)
        ]
        _insert(session, JobRow, iter(made))
        job_id: str = made[0]["id"]
        _insert(session, IterationRow, _iterations(session, job_id, proposals // PER_ITERATION))
        _insert(session, ProposalRow, _proposals(session, job_id, proposals))
        _insert(session, EventRow, _events(session, job_id, proposals))
    engine.dispose()
    return job_id


def _insert(session: Session, table: type[Any], rows: Iterator[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == AT_ONCE:
            session.execute(insert(table), batch)
            batch = []
    if batch:
        session.execute(insert(table), batch)


def _iterations(session: Session, job_id: str, count: int) -> Iterator[dict[str, Any]]:
    now = database_now(session)
    for number in range(1, count + 1):
        figures = {"macs": 1e6 - number}
        yield {
            "job_id": job_id,
            "iteration": number,
            "constraint": figures,
            "before": figures,
            "after": figures,
            "picked": [],
            "started_at": now,
            "finished_at": now,
        }


def _proposals(session: Session, job_id: str, count: int) -> Iterator[dict[str, Any]]:
    now = database_now(session)
    for number in range(1, count + 1):
        yield {
            "id": new_id("prp"),
            "job_id": job_id,
            "number": number,
            "iteration": (number - 1) // PER_ITERATION + 1,
            "group_id": f"features.{number % PER_ITERATION}",
            "layers": [f"features.{number % PER_ITERATION}.conv", f"features.{number % PER_ITERATION}.norm"],
            "kind": "plain",
            "filters_before": 64,
            "filters_after": 56,
            "state": "evaluated",
            "reason": "its accuracy is lower",
            "predicted": {"macs": 1e6, "params": 1e5, "latency_ms": 1.0},
            "kept": list(range(56)),
            "accuracy": 0.9,
            "loss": 0.3,
            "picked": False,
            "steps": 100,
            "attempts": 1,
            "seconds": 2.0,
            "created_at": now,
        }


def _events(session: Session, job_id: str, count: int) -> Iterator[dict[str, Any]]:
    now = database_now(session)
    for number in range(1, count + 1):
        yield {
            "job_id": job_id,
            "number": number,
            "event": "message",
            "data": {"text": f"a line of news, number {number}"},
            "at": now,
        }
