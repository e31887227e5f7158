"""What the messages of webhooks promise, on every database that we claim to run on."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.counters import JOB_DURATIONS, JOB_SECONDS, JOBS, Counters
from app.database import Sessions, database_now, reading, unit_of_work
from app.jobs.queue import MAX_ATTEMPTS, JobQueue
from app.jobs.recorder import JobRecorder
from app.jobs.records import ClaimedJob, NewJob
from app.jobs.repository import JobRepository
from app.records import Caller
from app.tables import JobRow, ModelRow, WebhookDeliveryRow
from app.webhooks.outbox import DISABLED, Outbox
from app.webhooks.records import Outcome, TooManyWebhooks, WebhookNotFound
from app.webhooks.repository import WebhookRepository
from app.webhooks.schemas import ALL_EVENTS
from tests.databases import DATABASES, migrated_sessions
from tests.rows import add_dataset_and_target, add_model

ANN, BOB = Caller(id="ann"), Caller(id="bob")
NEW = NewJob(
    name="größer",
    model_id="mdl_a",
    dataset_id="dst_a",
    target_id="tgt_a",
    budget={"macs": "50%"},
    settings={"preset": "quick"},
)
RETRY_S = (5.0, 30.0)


@pytest.fixture(params=DATABASES)
def sessions(request, tmp_path):
    with migrated_sessions(request.param, tmp_path) as sessions:
        with unit_of_work(sessions) as session:
            add_dataset_and_target(session)
            add_model(session)
        yield sessions


def add_hook(sessions: Sessions, caller: Caller = ANN, events=ALL_EVENTS, url: str = "https://example.org/") -> str:
    with unit_of_work(sessions) as session:
        return WebhookRepository(session).add_webhook(caller, url, events, limit=20)[0].id


def submit(sessions: Sessions) -> str:
    with unit_of_work(sessions) as session:
        return JobRepository(session).add_job(ANN, NEW).id


def claim_job(sessions: Sessions) -> ClaimedJob | None:
    with unit_of_work(sessions) as session:
        return JobQueue(session).claim_next_job("w", lease_s=60)


def cancel(sessions: Sessions, job_id: str) -> None:
    with unit_of_work(sessions) as session:
        JobRepository(session).cancel_job(ANN, job_id)


def deliveries(sessions: Sessions, hook: str, caller: Caller = ANN):
    with reading(sessions) as session:
        return WebhookRepository(session).list_deliveries(caller, hook, after=None, limit=100).items


def claim(sessions: Sessions, **named):
    with unit_of_work(sessions) as session:
        return Outbox(session).claim(lease_s=60, **named)


def settle(sessions: Sessions, claimed, outcome: Outcome):
    with unit_of_work(sessions) as session:
        return Outbox(session).settle(claimed, outcome, retry_s=RETRY_S)


def let_time_pass(sessions: Sessions, seconds: float) -> None:
    """Everything is due so much sooner."""
    with unit_of_work(sessions) as session:
        for row in session.scalars(select(WebhookDeliveryRow).where(WebhookDeliveryRow.next_attempt_at.is_not(None))):
            row.next_attempt_at -= timedelta(seconds=seconds)


def end_by_worker(sessions: Sessions, state: str) -> None:
    claimed = claim_job(sessions)
    with unit_of_work(sessions) as session:
        JobRecorder(session).finish(claimed, state, {"detail": "x"} if state == "failed" else None)


def end_by_request_to_a_dead_worker(sessions: Sessions) -> None:
    claimed = claim_job(sessions)
    cancel(sessions, claimed.id)
    with unit_of_work(sessions) as session:
        past = database_now(session) - timedelta(seconds=1)
        session.execute(update(JobRow).values(lease_expires_at=past))
    claim_job(sessions)


def end_as_a_crash_loop(sessions: Sessions) -> None:
    for _ in range(MAX_ATTEMPTS + 1):
        claim_job(sessions)
        with unit_of_work(sessions) as session:
            session.execute(update(JobRow).values(lease_expires_at=database_now(session) - timedelta(seconds=1)))


def end_by_refused_material(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        session.execute(update(ModelRow).values(state="refused", error={"detail": "no"}))
    assert claim_job(sessions) is None


def end_by_deleting(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        (job_id,) = session.scalars(select(JobRow.id))
        JobRepository(session).delete_job(ANN, job_id)


def end_while_its_device_is_away(sessions: Sessions) -> None:
    claimed = claim_job(sessions)
    cancel(sessions, claimed.id)
    with unit_of_work(sessions) as session:
        JobQueue(session).wait_for_device(claimed)


WAYS_TO_END = {
    "succeeded": ("job.succeeded", lambda sessions: end_by_worker(sessions, "succeeded")),
    "failed": ("job.failed", lambda sessions: end_by_worker(sessions, "failed")),
    "cancelled by its worker": ("job.cancelled", lambda sessions: end_by_worker(sessions, "cancelled")),
    "cancelled in the queue": ("job.cancelled", None),
    "cancelled when its worker was dead": ("job.cancelled", end_by_request_to_a_dead_worker),
    "cancelled while its device is away": ("job.cancelled", end_while_its_device_is_away),
    "deleted before it began": ("job.cancelled", end_by_deleting),
    "given up": ("job.failed", end_as_a_crash_loop),
    "refused": ("job.failed", end_by_refused_material),
}


class TestWriting:
    @pytest.mark.parametrize("way", WAYS_TO_END)
    def test_however_a_job_ends_its_owner_is_told_once(self, sessions, way):
        hook, others = add_hook(sessions), add_hook(sessions, BOB)
        event, end = WAYS_TO_END[way]
        job_id = submit(sessions)
        cancel(sessions, job_id) if end is None else end(sessions)
        (told,) = deliveries(sessions, hook)
        assert (told.event, told.job_id, told.state, told.attempts) == (event, job_id, "queued", 0)
        assert deliveries(sessions, others, BOB) == ()
        message = json.loads(claim(sessions).body)
        assert (message["type"], message["data"]["id"], message["data"]["name"]) == (event, job_id, "größer")
        assert f"job.{message['data']['state']}" == event
        with reading(sessions) as session:
            assert sum(Counters(session).read(JOBS).values()) == 1

    def test_a_transaction_that_fails_tells_nobody(self, sessions):
        hook, _ = add_hook(sessions), submit(sessions)
        claimed = claim_job(sessions)
        with suppress(ZeroDivisionError), unit_of_work(sessions) as session:
            JobRecorder(session).finish(claimed, "succeeded")
            raise ZeroDivisionError
        assert deliveries(sessions, hook) == ()
        with reading(sessions) as session:
            assert Counters(session).read(JOBS) == {}

    def test_who_asked_for_failures_hears_of_nothing_else(self, sessions):
        failures, everything = add_hook(sessions, events=["job.failed"]), add_hook(sessions)
        cancel(sessions, submit(sessions))
        assert (len(deliveries(sessions, failures)), len(deliveries(sessions, everything))) == (0, 1)

    def test_a_message_outlives_its_job(self, sessions):
        hook, job_id = add_hook(sessions), submit(sessions)
        cancel(sessions, job_id)
        with unit_of_work(sessions) as session:
            JobRepository(session).delete_job(ANN, job_id)
        assert json.loads(claim(sessions).body)["data"]["id"] == job_id
        assert [told.job_id for told in deliveries(sessions, hook)] == [job_id]

    def test_pause_and_resume_are_no_end(self, sessions):
        hook, job_id = add_hook(sessions), submit(sessions)
        with unit_of_work(sessions) as session:
            JobRepository(session).pause_job(ANN, job_id)
            JobRepository(session).resume_job(ANN, job_id)
        assert deliveries(sessions, hook) == ()

    def test_webhooks_that_are_deleted_meanwhile_keep_no_job_from_its_end(self, sessions):
        hooks = [add_hook(sessions) for _ in range(12)]
        jobs = [submit(sessions) for _ in range(12)]

        def delete(hook: str) -> None:
            with unit_of_work(sessions) as session:
                WebhookRepository(session).delete_webhook(ANN, hook)

        with ThreadPoolExecutor(8) as pool:
            done = [pool.submit(cancel, sessions, job) for job in jobs] + [pool.submit(delete, hook) for hook in hooks]
            for each in done:
                each.result()
        with reading(sessions) as session:
            assert set(session.scalars(select(JobRow.state))) == {"cancelled"}

    def test_how_long_jobs_took_is_counted_and_stays_when_they_are_deleted(self, sessions):
        submit(sessions)
        claimed = claim_job(sessions)
        with unit_of_work(sessions) as session:
            begun = database_now(session) - timedelta(seconds=100)
            session.execute(update(JobRow).values(started_at=begun))
        with unit_of_work(sessions) as session:
            JobRecorder(session).finish(claimed, "succeeded")
        with unit_of_work(sessions) as session:
            JobRepository(session).delete_job(ANN, claimed.id)
        with reading(sessions) as session:
            counters = Counters(session)
            assert counters.read(JOB_DURATIONS) == {"succeeded/300": 1}
            assert 100 <= counters.read(JOB_SECONDS)["succeeded"] < 300


class TestSending:
    def test_one_message_has_one_sender_at_a_time(self, sessions):
        add_hook(sessions)
        for _ in range(10):
            cancel(sessions, submit(sessions))
        with ThreadPoolExecutor(8) as pool:
            claimed = [each for each in pool.map(lambda _: claim(sessions), range(24)) if each is not None]
        # Those who come at the same moment may find a row locked and go without; nobody gets what another has.
        while (one := claim(sessions)) is not None:
            claimed.append(one)
        assert len(claimed) == len({each.id for each in claimed}) == 10

    def test_a_sender_that_died_leaves_its_message_to_another_and_cannot_write_any_more(self, sessions):
        hook = add_hook(sessions)
        cancel(sessions, submit(sessions))
        dead = claim(sessions)
        assert claim(sessions) is None
        let_time_pass(sessions, 61)
        again = claim(sessions)
        assert (again.id, again.body, again.attempts) == (dead.id, dead.body, 2)
        assert settle(sessions, dead, Outcome(status=200)) is None
        assert settle(sessions, again, Outcome(status=200)) == "delivered"
        (told,) = deliveries(sessions, hook)
        assert (told.state, told.attempts, told.response_status, told.next_attempt_at) == ("delivered", 2, 200, None)
        assert told.delivered_at is not None

    def test_a_message_that_was_put_off_by_a_clock_since_put_back_is_due(self, sessions):
        add_hook(sessions)
        cancel(sessions, submit(sessions))
        before = claim(sessions)
        let_time_pass(sessions, -timedelta(days=365).total_seconds())
        assert claim(sessions).id == before.id

    def test_it_is_tried_again_after_each_pause_and_then_given_up(self, sessions):
        hook = add_hook(sessions)
        cancel(sessions, submit(sessions))
        outcomes = [Outcome(status=500), Outcome(error="nobody accepts connections there"), Outcome(status=302)]
        for pause_s, outcome in zip((*RETRY_S, None), outcomes, strict=True):
            state = settle(sessions, claim(sessions), outcome)
            (told,) = deliveries(sessions, hook)
            if pause_s is None:
                assert (state, told.state, told.next_attempt_at) == ("failed", "failed", None)
                break
            assert (state, claim(sessions)) == ("queued", None)
            let_time_pass(sessions, pause_s)
        assert (told.attempts, told.response_status) == (3, 302)
        assert "redirects are not followed" in told.error

    def test_410_ends_the_webhook_and_what_waits_for_it(self, sessions):
        hook, other = add_hook(sessions), add_hook(sessions)
        for _ in range(3):
            cancel(sessions, submit(sessions))
        claimed = claim(sessions)
        while claimed.webhook_id != hook:
            claimed = claim(sessions)
        assert settle(sessions, claimed, Outcome(status=410)) == "failed"
        assert {(told.state, told.error) for told in deliveries(sessions, hook)} == {("failed", DISABLED)}
        assert {told.state for told in deliveries(sessions, other)} == {"queued"}
        cancel(sessions, submit(sessions))
        assert (len(deliveries(sessions, hook)), len(deliveries(sessions, other))) == (3, 4)
        with reading(sessions) as session:
            assert WebhookRepository(session).get_webhook(ANN, hook).disabled_at is not None
            assert WebhookRepository(session).get_webhook(ANN, other).disabled_at is None

    def test_owners_whose_receivers_keep_us_busy_can_be_left_out(self, sessions):
        add_hook(sessions)
        cancel(sessions, submit(sessions))
        with reading(sessions) as session:
            assert not Outbox(session).is_anything_due(not_of={"ann"})
            assert Outbox(session).is_anything_due(not_of={"bob"})
        assert claim(sessions, not_of={"ann"}) is None
        assert claim(sessions, not_of={"bob"}) is not None

    def test_what_is_over_is_forgotten_in_time_and_what_waits_is_not(self, sessions):
        hook = add_hook(sessions)
        cancel(sessions, submit(sessions))
        cancel(sessions, submit(sessions))
        settle(sessions, claim(sessions), Outcome(status=200))
        with unit_of_work(sessions) as session:
            old = database_now(session) - timedelta(days=31)
            session.execute(update(WebhookDeliveryRow).values(created_at=old))
            Outbox(session).forget_old(30)
        assert [told.state for told in deliveries(sessions, hook)] == ["queued"]


class TestOwners:
    def test_what_is_somebody_elses_is_not_there(self, sessions):
        hook = add_hook(sessions)
        with unit_of_work(sessions) as session:
            hooks = WebhookRepository(session)
            assert hooks.list_webhooks(BOB, after=None, limit=10).items == ()
            with pytest.raises(WebhookNotFound):
                hooks.get_webhook(BOB, hook)
            with pytest.raises(WebhookNotFound):
                hooks.delete_webhook(BOB, hook)
            with pytest.raises(WebhookNotFound):
                hooks.list_deliveries(BOB, hook, after=None, limit=10)
            assert hooks.get_webhook(ANN, hook).url == "https://example.org/"

    def test_each_owner_has_a_limit_of_his_own(self, sessions):
        with unit_of_work(sessions) as session:
            hooks = WebhookRepository(session)
            hooks.add_webhook(ANN, "https://a.example/", ALL_EVENTS, limit=1)
            hooks.add_webhook(BOB, "https://a.example/", ALL_EVENTS, limit=1)
            with pytest.raises(TooManyWebhooks, match="1 webhooks"):
                hooks.add_webhook(ANN, "https://b.example/", ALL_EVENTS, limit=1)

    def test_many_at_once_keep_to_the_limit(self, sessions):
        def add(_: int) -> bool:
            with suppress(TooManyWebhooks), unit_of_work(sessions) as session:
                WebhookRepository(session).add_webhook(ANN, "https://a.example/", ALL_EVENTS, limit=3)
                time.sleep(0.02)  # in the middle of its transaction, where others might count without it
                return True
            return False

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(add, range(8))) == 3

    def test_a_deleted_webhook_takes_its_messages_along(self, sessions):
        hook = add_hook(sessions)
        cancel(sessions, submit(sessions))
        with unit_of_work(sessions) as session:
            WebhookRepository(session).delete_webhook(ANN, hook)
        assert claim(sessions) is None
