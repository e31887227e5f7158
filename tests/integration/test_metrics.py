"""/metrics: what a Prometheus reads, on every database; nothing of anybody, and cheap however much there is."""

from datetime import timedelta

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, insert, update

from app.counters import PROPOSALS, Counters
from app.database import Sessions, database_now, unit_of_work
from app.jobs.queue import JobQueue
from app.jobs.recorder import JobRecorder
from app.jobs.records import NewIteration, NewJob, NewProposal
from app.jobs.repository import JobRepository
from app.metrics import DatabaseCollector
from app.presence import WorkerRegister, seen_alive
from app.records import Caller
from app.settings import Settings
from app.tables import BlobRow, JobRow, ProposalRow, WorkerRow
from app.tasks.queue import TaskQueue
from tests.databases import DATABASES, migrated_sessions
from tests.rows import add_dataset_and_target, add_model
from tests.served_app import served_app

ANN = Caller(id="ann")
NEW = NewJob(name="a name", model_id="mdl_a", dataset_id="dst_a", target_id="tgt_a", budget={"macs": 1}, settings={})
PROPOSAL = {
    "iteration": 1,
    "layers": ["a"],
    "kind": "plain",
    "filters_before": 16,
    "filters_after": 8,
    "state": "evaluated",
}


@pytest.fixture(params=DATABASES)
def sessions(request, tmp_path):
    with migrated_sessions(request.param, tmp_path) as sessions:
        with unit_of_work(sessions) as session:
            add_dataset_and_target(session)
            add_model(session)
        yield sessions


def submit(sessions: Sessions) -> str:
    with unit_of_work(sessions) as session:
        return JobRepository(session).add_job(ANN, NEW).id


def claim(sessions: Sessions):
    with unit_of_work(sessions) as session:
        return JobQueue(session).claim_next_job("w", lease_s=60)


def figures(sessions: Sessions):
    """`value(name, label=...)` of one scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DatabaseCollector(sessions))
    return lambda name, **labels: registry.get_sample_value(name, labels)


def test_the_queue_is_told_by_lane_and_state_with_the_age_of_the_oldest(sessions):
    first = submit(sessions)
    submit(sessions), submit(sessions)
    with unit_of_work(sessions) as session:
        TaskQueue(session).enqueue_task("ann", "profile", "x", {})
        hour_ago = database_now(session) - timedelta(hours=1)
        session.execute(update(JobRow).where(JobRow.id == first).values(created_at=hour_ago))
    value = figures(sessions)
    assert value("netadapt_queue", lane="long", state="queued") == 3
    assert value("netadapt_queue", lane="short", state="queued") == 1
    assert value("netadapt_queue", lane="device", state="running") == 0
    assert 3600 <= value("netadapt_oldest_queued_seconds", kind="job") < 3900
    assert 0 <= value("netadapt_oldest_queued_seconds", kind="task") < 300
    claim(sessions)
    value = figures(sessions)
    assert value("netadapt_jobs", state="running") == 1
    assert value("netadapt_queue", lane="long", state="running") == 1
    assert value("netadapt_oldest_queued_seconds", kind="job") < 3600


def test_leases_are_held_or_expired(sessions):
    submit(sessions), submit(sessions), submit(sessions)
    claim(sessions)
    expired, of_before = claim(sessions), claim(sessions)
    with unit_of_work(sessions) as session:
        # The second is from before the clock was put back: whoever looks for work takes it, too.
        for claimed, lasts in ((expired, timedelta(seconds=-1)), (of_before, timedelta(hours=5))):
            values = {"lease_expires_at": database_now(session) + lasts}
            session.execute(update(JobRow).where(JobRow.id == claimed.id).values(values))
    value = figures(sessions)
    assert value("netadapt_leases", kind="job", state="held") == 1
    assert value("netadapt_leases", kind="job", state="expired") == 2
    assert value("netadapt_leases", kind="task", state="held") == 0


def test_workers_count_while_they_say_that_they_live(sessions):
    with seen_alive(sessions, "host:long:1", "long", every_s=0.01):
        seen = 0.0
        while not seen:
            seen = figures(sessions)("netadapt_workers", lane="long") or 0.0
    assert figures(sessions)("netadapt_workers", lane="long") is None
    with unit_of_work(sessions) as session:
        WorkerRegister(session).see("host:short:2", "short")
        WorkerRegister(session).see("host:short:2", "short")
        session.add(
            WorkerRow(
                id="dead",
                lane="short",
                started_at=database_now(session),
                seen_at=database_now(session) - timedelta(minutes=1),
            )
        )
    assert figures(sessions)("netadapt_workers", lane="short") == 1


def test_proposals_are_counted_once_and_never_fall(sessions):
    job_id = submit(sessions)
    claimed = claim(sessions)
    with unit_of_work(sessions) as session:
        recorder = JobRecorder(session)
        recorder.add_iteration(claimed, NewIteration(iteration=1, constraint={}, before={}))
        for group in ("g1", "g2", "g2"):  # the last one by a resumed worker
            recorder.add_proposal(claimed, NewProposal(group=group, **PROPOSAL))
        recorder.add_proposal(claimed, NewProposal(group="g3", **PROPOSAL | {"state": "skipped"}))
        recorder.finish(claimed, "failed", {"detail": "x"})
    with unit_of_work(sessions) as session:
        JobRepository(session).delete_job(ANN, job_id)
    value = figures(sessions)
    assert value("netadapt_proposals_total", state="evaluated") == 2
    assert value("netadapt_proposals_total", state="skipped") == 1
    assert value("netadapt_jobs_ended_total", state="failed") == 1
    assert value("netadapt_job_duration_seconds_count", state="failed") == 1
    assert value("netadapt_job_duration_seconds_bucket", state="failed", le="10") == 1


def test_stored_bytes_are_summed(sessions):
    with unit_of_work(sessions) as session:
        for letter, size in (("a", 3), ("b", 2**40)):
            session.add(BlobRow(sha256=letter * 64, bytes=size, created_at=database_now(session)))
    assert figures(sessions)("netadapt_stored_bytes") == 2**40 + 3


def test_a_hundred_thousand_proposals_are_never_looked_at(sessions):
    """What a scrape costs is judged by what it reads, not by a clock that other work slows down."""
    job_id = submit(sessions)
    with unit_of_work(sessions) as session:
        now = database_now(session)
        shared = PROPOSAL | {"job_id": job_id, "picked": False, "created_at": now}
        rows = [shared | {"id": f"p{n}", "number": n, "group_id": f"g{n}"} for n in range(2000)]
        session.execute(insert(ProposalRow), rows)
        Counters(session).add(PROPOSALS, "evaluated", 100_000)
    statements: list[str] = []
    engine = sessions.kw["bind"]
    event.listen(engine, "before_cursor_execute", lambda _c, _u, statement, *_: statements.append(statement))
    assert figures(sessions)("netadapt_proposals_total", state="evaluated") == 100_000
    assert statements
    assert not [statement for statement in statements if "FROM proposals" in statement]
    assert len(statements) < 25


class TestOverHttp:
    @pytest.fixture(name="app")
    def _app(self, tmp_path):
        with served_app(Settings(data_dir=tmp_path)) as running:
            yield running

    def scrape(self, client: httpx.Client) -> dict[str, float]:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        families = list(text_string_to_metric_families(answer.text))
        return {
            f"{sample.name}{sorted(sample.labels.items())}": sample.value
            for each in families
            for sample in each.samples
        }

    def test_requests_are_counted_by_route_and_not_by_path(self, app):
        with app.client() as client:
            for n in range(3):
                client.get(f"/v1/jobs/job_{n}")
                client.get(f"/nowhere/{n}")
                client.request(f"M{n}", "/v1/jobs")
            found = self.scrape(client)
        counts = {
            name: value
            for name, value in found.items()
            if name.startswith("netadapt_http_request_duration_seconds_count")
        }
        at = "netadapt_http_request_duration_seconds_count"
        assert counts[f"{at}{[('method', 'GET'), ('route', '/v1/jobs/{job_id}'), ('status', '404')]}"] == 3
        assert counts[f"{at}{[('method', 'GET'), ('route', '(none)'), ('status', '404')]}"] == 3
        assert len([name for name in counts if "'other'" in name]) == 1
        assert found["netadapt_process_open_fds[]"] > 0

    def test_nothing_in_it_is_anybodys(self, app):
        with unit_of_work(app.sessions) as session:
            add_dataset_and_target(session)
            add_model(session)
            job_id = JobRepository(session).add_job(ANN, NEW).id
        app.create_token("ann", name="of ann")
        with app.client() as client:
            text = client.get("/metrics").text
        assert 'netadapt_jobs{state="queued"} 1.0' in text
        for private in (job_id, "mdl_a", "a name", "ann", "dst_a"):
            assert private not in text

    def test_an_operator_can_keep_them_for_administrators(self, tmp_path):
        with served_app(Settings(data_dir=tmp_path, metrics_for="admin")) as app:
            tokens = {role: app.create_token("ann", role=role) for role in ("admin", "user", "agent")}
            answers = {}
            for role, token in {**tokens, "nobody": None}.items():
                with app.client(token) as client:
                    answers[role] = client.get("/metrics").status_code
        assert answers == {"admin": 200, "user": 403, "agent": 403, "nobody": 401}

    def test_a_database_that_is_away_is_503(self, app, monkeypatch):
        from sqlalchemy.exc import OperationalError

        def away(_session: object) -> None:
            raise OperationalError("SELECT", {}, Exception("gone"))

        monkeypatch.setattr("app.metrics.read_backlog", away)
        with app.client() as client:
            assert client.get("/metrics").status_code == 503
