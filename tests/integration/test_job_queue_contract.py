"""What the queue and the repositories of jobs promise, on every database that we claim to run on."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from app.database import Sessions, database_now, reading, unit_of_work
from app.jobs.errors import JobNotFound, PartNotFound, WrongState
from app.jobs.history import JobHistory
from app.jobs.queue import MAX_ATTEMPTS, JobQueue
from app.jobs.recorder import JobRecorder
from app.jobs.records import (
    CheckpointFile,
    ClaimedJob,
    Control,
    Figures,
    FinishedIteration,
    LatencyFigures,
    NewCheckpoint,
    NewIteration,
    NewJob,
    NewProposal,
    NextLarger,
)
from app.jobs.repository import JobRepository
from app.jobs.resume import load_progress
from app.jobs.running_time import RunningTime
from app.leases import LeaseLost
from app.records import Caller
from app.storage import Blob
from app.tables import JobRow, ModelRow, TargetRow
from app.tasks.queue import TaskQueue
from tests.databases import DATABASES, migrated_sessions
from tests.old_rows import SCORES
from tests.rows import add_dataset_and_target, add_model
from workers.job_clock import JobClock

ANN, BOB = Caller(id="ann"), Caller(id="bob")
NEW = NewJob(
    name=None,
    model_id="mdl_a",
    dataset_id="dst_a",
    target_id="tgt_a",
    budget={"macs": "50%"},
    settings={"preset": "quick"},
)


@pytest.fixture(params=DATABASES)
def sessions(request, tmp_path):
    with migrated_sessions(request.param, tmp_path) as sessions:
        with unit_of_work(sessions) as session:
            add_dataset_and_target(session)
            add_model(session)
        yield sessions


def submit(sessions: Sessions, new: NewJob = NEW) -> str:
    with unit_of_work(sessions) as session:
        return JobRepository(session).add_job(ANN, new).id


def claim(sessions: Sessions, worker: str = "w1", lease_s: float = 60) -> ClaimedJob | None:
    with unit_of_work(sessions) as session:
        return JobQueue(session).claim_next_job(worker, lease_s=lease_s, instruction_set="avx2")


def record(sessions: Sessions, verb: str, *arguments, **named):
    with unit_of_work(sessions) as session:
        return getattr(JobRecorder(session), verb)(*arguments, **named)


def let_lease_expire(sessions: Sessions, job_id: str) -> None:
    with unit_of_work(sessions) as session:
        past = database_now(session) - timedelta(seconds=1)
        session.execute(update(JobRow).where(JobRow.id == job_id).values(lease_expires_at=past))


def look(sessions: Sessions, job_id: str):
    with reading(sessions) as session:
        return JobRepository(session).get_job(ANN, job_id)


def events(sessions: Sessions, job_id: str):
    with reading(sessions) as session:
        return JobHistory(session).list_events(ANN, job_id, after=0, limit=1000)[1].items


def proposal(iteration: int = 1, group: str = "g1", **values) -> NewProposal:
    defaults = {
        "iteration": iteration,
        "group": group,
        "layers": ["features.0"],
        "kind": "plain",
        "filters_before": 16,
        "state": "evaluated",
        "filters_after": 8,
        "predicted": {"macs": 1.0},
        "next_larger": NextLarger(filters=12, predicted={"macs": 2.0}),
        "kept": (0, 1, 2),
        "accuracy": 0.5,
    }
    return NewProposal(**{**defaults, **values})


def checkpoint(name: str, kind: str, iteration: int, sha256: str = "a" * 64) -> NewCheckpoint:
    return NewCheckpoint(
        checkpoint=name,
        kind=kind,
        iteration=iteration,
        figures=Figures(macs=5, checkpoint=name),
        filters={"g1": 8},
        kept={"g1": (0, 1)},
        files=[CheckpointFile(format="onnx", bytes=3, sha256=sha256)],
    )


def see_device(sessions: Sessions, seconds_ago: float) -> None:
    """The agent of `tgt_a` was heard of then."""
    with unit_of_work(sessions) as session:
        then = database_now(session) - timedelta(seconds=seconds_ago)
        session.execute(update(TargetRow).where(TargetRow.id == "tgt_a").values(kind="agent", last_seen_at=then))


def let_wait(sessions: Sessions) -> str:
    """A job that was let go since its device is away."""
    job_id = submit(sessions)
    claimed = claim(sessions)
    with unit_of_work(sessions) as session:
        JobQueue(session).wait_for_device(claimed)
    return job_id


def test_running_time_adds_up_over_workers_and_pauses_and_only_the_holder_adds_to_it(sessions):
    job_id = submit(sessions)
    first = claim(sessions)
    with unit_of_work(sessions) as session:
        assert RunningTime(session).add(first, 2.5) == 2.5
    let_lease_expire(sessions, job_id)
    second = claim(sessions, "w2")
    with pytest.raises(LeaseLost), unit_of_work(sessions) as session:
        RunningTime(session).add(first, 100)
    with unit_of_work(sessions) as session:
        assert RunningTime(session).add(second, 1.0) == 3.5
        JobQueue(session).pause(second)
    with unit_of_work(sessions) as session:
        JobRepository(session).resume_job(ANN, job_id)
    third = claim(sessions, "w3")
    with unit_of_work(sessions) as session:
        assert RunningTime(session).add(third, 0.5) == 4.0


def test_no_second_of_a_job_counts_twice_though_its_lease_is_renewed_in_a_thread_of_its_own(sessions):
    submit(sessions)
    seconds = iter([0.0, 10.0, 11.0, 12.0])
    clock = JobClock(claim(sessions), lambda: next(seconds))
    with pytest.raises(ConnectionError), clock.noting():
        raise ConnectionError("the database went away: the ten seconds are still to be noted")
    counted = []

    def note() -> None:
        with clock.noting() as add_time, unit_of_work(sessions) as session:
            counted.append(add_time(session))

    with clock.noting() as add_time, unit_of_work(sessions) as session:
        other = threading.Thread(target=note)
        other.start()
        other.join(0.2)
        counted.append(add_time(session))
    other.join()
    assert counted == [11.0, 12.0]


class TestWaitingForADevice:
    def test_a_job_whose_device_is_away_lets_others_go_first_and_keeps_its_place(self, sessions):
        see_device(sessions, seconds_ago=60)
        waiting, other, later = let_wait(sessions), submit(sessions), submit(sessions)
        job = look(sessions, waiting)
        assert (job.state, job.phase) == ("queued", "waiting-for-device")
        assert claim(sessions).id == other
        see_device(sessions, seconds_ago=0)
        assert [claim(sessions).id, claim(sessions).id] == [waiting, later]
        assert events(sessions, waiting)[-1].data["state"] == "running"

    def test_a_device_heard_of_before_the_clock_was_put_back_may_be_away(self, sessions):
        see_device(sessions, seconds_ago=60)
        waiting = let_wait(sessions)
        see_device(sessions, seconds_ago=-3600)
        assert claim(sessions) is None
        see_device(sessions, seconds_ago=0)
        assert claim(sessions).id == waiting

    def test_a_job_that_never_needed_the_device_yet_is_claimed_all_the_same(self, sessions):
        see_device(sessions, seconds_ago=60)
        assert submit(sessions) == claim(sessions).id

    def test_it_can_be_paused_resumed_and_cancelled(self, sessions):
        see_device(sessions, seconds_ago=60)
        waiting = let_wait(sessions)
        for verb, state in (("pause_job", "paused"), ("resume_job", "queued"), ("cancel_job", "cancelled")):
            with unit_of_work(sessions) as session:
                job, changed = getattr(JobRepository(session), verb)(ANN, waiting)
            assert (job.state, job.phase, changed) == (state, None, True)

    @pytest.mark.parametrize(("verb", "state"), [("cancel_job", "cancelled"), ("pause_job", "paused")])
    def test_what_was_asked_just_before_it_is_let_go_is_done(self, sessions, verb, state):
        job_id = submit(sessions)
        claimed = claim(sessions)
        with unit_of_work(sessions) as session:
            getattr(JobRepository(session), verb)(ANN, job_id)
        with unit_of_work(sessions) as session:
            JobQueue(session).wait_for_device(claimed)
        job = look(sessions, job_id)
        assert (job.state, job.requested, job.phase) == (state, None, None)

    def test_a_worker_that_lost_the_job_cannot_let_it_wait(self, sessions):
        job_id = submit(sessions)
        claimed = claim(sessions)
        let_lease_expire(sessions, job_id)
        claim(sessions, "w2")
        with pytest.raises(LeaseLost), unit_of_work(sessions) as session:
            JobQueue(session).wait_for_device(claimed)


class TestClaiming:
    def test_the_oldest_job_comes_first_and_nobody_gets_it_twice(self, sessions):
        first, second = submit(sessions), submit(sessions)
        assert [claim(sessions).id, claim(sessions).id, claim(sessions)] == [first, second, None]

    def test_eight_workers_at_once_claim_each_job_exactly_once(self, sessions):
        submitted = sorted(submit(sessions) for _ in range(24))

        def work(worker: str) -> list[str]:
            claimed = []
            while (job := claim(sessions, worker)) is not None:
                claimed.append(job.id)
            return claimed

        with ThreadPoolExecutor(8) as pool:
            claimed = [job for jobs in pool.map(work, [f"w{n}" for n in range(8)]) for job in jobs]
        # A worker may see nothing free while another holds the last rows, but nothing is claimed twice.
        assert sorted(claimed) == submitted

    def test_a_claimed_job_runs_and_says_so_in_an_event(self, sessions):
        job_id = submit(sessions)
        claimed = claim(sessions)
        job = look(sessions, job_id)
        assert (job.state, job.instruction_set, claimed.resumed) == ("running", "avx2", False)
        assert job.started_at is not None
        assert [(event.number, event.event, event.data["state"]) for event in events(sessions, job_id)] == [
            (1, "state", "queued"),
            (2, "state", "running"),
        ]

    def test_a_job_whose_lease_ran_out_goes_to_another_worker_and_the_first_can_write_nothing_more(self, sessions):
        job_id = submit(sessions)
        slow = claim(sessions)
        let_lease_expire(sessions, job_id)
        other = claim(sessions, "w2")
        assert (other.id, other.resumed, other.fence > slow.fence) == (job_id, True, True)
        for verb, arguments in (("set_phase", ("training",)), ("add_message", ("hello",)), ("finish", ("failed",))):
            with pytest.raises(LeaseLost):
                record(sessions, verb, slow, *arguments)
        with pytest.raises(LeaseLost), unit_of_work(sessions) as session:
            JobQueue(session).renew_lease(slow, 60)
        record(sessions, "set_phase", other, "training")
        assert look(sessions, job_id).phase == "training"

    def test_a_renewed_lease_is_not_claimable_and_tells_what_was_asked(self, sessions):
        job_id = submit(sessions)
        claimed = claim(sessions)
        let_lease_expire(sessions, job_id)
        with unit_of_work(sessions) as session:
            assert JobQueue(session).renew_lease(claimed, 60) is None
        assert claim(sessions, "w2") is None
        with unit_of_work(sessions) as session:
            JobRepository(session).cancel_job(ANN, job_id)
        with unit_of_work(sessions) as session:
            assert JobQueue(session).renew_lease(claimed, 60) == "cancel"

    def test_a_job_on_a_model_that_is_being_checked_waits(self, sessions):
        with unit_of_work(sessions) as session:
            add_model(session, "mdl_b", state="checking")
        waiting, ready = submit(sessions, replace(NEW, model_id="mdl_b")), submit(sessions)
        assert claim(sessions).id == ready
        assert claim(sessions) is None
        with unit_of_work(sessions) as session:
            session.execute(update(ModelRow).where(ModelRow.id == "mdl_b").values(state="ready"))
        assert claim(sessions).id == waiting

    def test_a_job_on_a_refused_model_fails_with_the_models_reason(self, sessions):
        with unit_of_work(sessions) as session:
            add_model(session, "mdl_b", state="refused")
        job_id = submit(sessions, replace(NEW, model_id="mdl_b"))
        assert claim(sessions) is None
        job = look(sessions, job_id)
        assert (job.state, job.error) == ("failed", {"detail": "refused it"})
        assert job.finished_at is not None

    def test_a_job_that_kills_every_worker_is_given_up_with_the_reason(self, sessions):
        """What is only told (by the claim itself, too) is no result."""
        job_id = submit(sessions)
        for _ in range(MAX_ATTEMPTS):
            claimed = claim(sessions)
            assert claimed.id == job_id
            record(sessions, "set_phase", claimed, "training")
            record(sessions, "add_message", claimed, "about to die")
            let_lease_expire(sessions, job_id)
        assert claim(sessions) is None
        job = look(sessions, job_id)
        assert job.state == "failed"
        assert job.error["type"] == "urn:netadapt:problem:worker-lost"
        assert "3 workers in a row" in job.error["detail"]

    def test_a_job_that_records_results_between_its_crashes_is_not_given_up(self, sessions):
        job_id = submit(sessions)
        for key in range(MAX_ATTEMPTS + 2):
            claimed = claim(sessions)
            assert claimed.id == job_id
            record(sessions, "add_measurement", claimed, str(key), {"ms": 1.0})
            let_lease_expire(sessions, job_id)
        assert look(sessions, job_id).state == "running"

    def test_what_was_asked_of_a_dead_worker_is_done_at_the_next_claim(self, sessions):
        asked = {"cancelled": submit(sessions), "paused": submit(sessions)}
        held = [claim(sessions), claim(sessions)]
        with unit_of_work(sessions) as session:
            JobRepository(session).cancel_job(ANN, asked["cancelled"])
            JobRepository(session).pause_job(ANN, asked["paused"])
        for job_id in asked.values():
            let_lease_expire(sessions, job_id)
        assert claim(sessions) is None
        assert {state: look(sessions, job_id).state for state, job_id in asked.items()} == {
            "cancelled": "cancelled",
            "paused": "paused",
        }
        for claimed in held:
            with pytest.raises(LeaseLost):
                record(sessions, "add_message", claimed, "too late")

    def test_a_released_job_is_queued_again_and_its_attempt_not_counted(self, sessions):
        job_id = submit(sessions)
        for _ in range(MAX_ATTEMPTS + 2):
            claimed = claim(sessions)
            assert claimed.attempts == 1
            with unit_of_work(sessions) as session:
                JobQueue(session).release(claimed)
            assert look(sessions, job_id).state == "queued"

    def test_going_on_with_another_instruction_set_is_said_in_a_message(self, sessions):
        job_id = submit(sessions)
        claim(sessions)
        let_lease_expire(sessions, job_id)
        with unit_of_work(sessions) as session:
            JobQueue(session).claim_next_job("w2", lease_s=60, instruction_set="avx512")
        texts = [event.data["text"] for event in events(sessions, job_id) if event.event == "message"]
        assert "w1 stopped answering" in texts[0]
        assert "avx512" in texts[1]
        assert look(sessions, job_id).instruction_set == "avx2"


class TestRecording:
    def test_events_are_numbered_from_one_without_gaps_whoever_writes_them(self, sessions):
        job_id = submit(sessions)
        claimed = claim(sessions)
        record(sessions, "set_phase", claimed, "training")
        with unit_of_work(sessions) as session:
            JobRepository(session).pause_job(ANN, job_id)
        record(sessions, "add_measurement", claimed, "0", {"ms": 1.0})
        with unit_of_work(sessions) as session:
            JobQueue(session).pause(claimed)
        found = events(sessions, job_id)
        assert [event.number for event in found] == list(range(1, len(found) + 1))
        assert [event.event for event in found] == ["state", "state", "phase", "state", "measurement", "state"]
        assert look(sessions, job_id).event_counter == len(found)

    def test_a_transaction_that_fails_takes_its_event_number_back(self, sessions):
        job_id = submit(sessions)
        claimed = claim(sessions)
        with suppress(ZeroDivisionError), unit_of_work(sessions) as session:
            JobRecorder(session).add_message(claimed, "never seen")
            raise ZeroDivisionError
        record(sessions, "add_message", claimed, "seen")
        assert [(event.number, event.data.get("text")) for event in events(sessions, job_id)][2:] == [(3, "seen")]

    def test_an_iteration_is_read_back_with_its_proposals_and_its_pick(self, sessions):
        job_id = submit(sessions)
        claimed = claim(sessions)
        record(
            sessions,
            "add_iteration",
            claimed,
            NewIteration(iteration=1, constraint={"macs": 9.0}, before={"macs": 10.0}),
        )
        record(sessions, "set_control", claimed, 1, Control(accuracy=0.4, loss=1.0, learning_rate=0.01))
        record(sessions, "add_proposal", claimed, proposal(group="g1"))
        record(sessions, "add_proposal", claimed, proposal(group="g2"))
        done = FinishedIteration(
            iteration=1,
            picked=["g2"],
            reasons={"g1": "accuracy 0.5 is below 0.6 of g2"},
            after={"macs": 9.0},
            kept={"g1": range(16), "g2": (1, 2)},
            holdout={"accuracy": 0.6, "loss": 1.0, "images": 10},
        )
        record(sessions, "finish_iteration", claimed, done)
        with reading(sessions) as session:
            (iteration,) = JobHistory(session).list_iterations(ANN, job_id, after=0, limit=10).items
            found = JobHistory(session).list_proposals(ANN, job_id, after=0, limit=10, iteration=1).items
        assert [(p.group, p.picked, p.reason) for p in found] == [
            ("g1", False, "accuracy 0.5 is below 0.6 of g2"),
            ("g2", True, None),
        ]
        assert found[0].next_larger == NextLarger(filters=12, predicted={"macs": 2.0})
        assert iteration.picked == (found[1].id,)
        assert iteration.control["accuracy"] == 0.4
        assert iteration.finished_at is not None

    def test_a_further_iteration_forgets_the_epochs_of_the_fine_tune_before_it(self, sessions):
        job_id = submit(sessions)
        claimed = claim(sessions)
        blob = Blob(sha256="b" * 64, bytes=1)
        record(sessions, "save_epoch_state", claimed, epoch=2, epochs=2, holdout=None, blob=blob)
        with reading(sessions) as session:
            assert load_progress(session, job_id).epoch_state.epoch == 2
        record(sessions, "add_iteration", claimed, NewIteration(iteration=1, constraint={}, before={}))
        done = FinishedIteration(iteration=1, picked=[], reasons={}, after={}, kept={}, holdout={})
        record(sessions, "finish_iteration", claimed, done)
        with reading(sessions) as session:
            assert load_progress(session, job_id).epoch_state is None

    def test_a_proposal_recorded_twice_is_one_proposal(self, sessions):
        job_id = submit(sessions)
        claimed = claim(sessions)
        record(sessions, "add_iteration", claimed, NewIteration(iteration=1, constraint={}, before={}))
        first = record(sessions, "add_proposal", claimed, proposal(accuracy=0.1))
        second = record(sessions, "add_proposal", claimed, proposal(accuracy=0.2))
        with reading(sessions) as session:
            (found,) = JobHistory(session).list_proposals(ANN, job_id, after=0, limit=10).items
        assert first.id == second.id == found.id
        assert found.accuracy == 0.2

    def test_nan_is_refused_before_it_is_stored(self, sessions):
        submit(sessions)
        claimed = claim(sessions)
        with pytest.raises(Exception, match="not JSON compliant"):
            record(sessions, "add_measurement", claimed, "0", {"ms": float("nan")})

    def test_a_finished_job_has_its_result_and_accepts_nothing_more(self, sessions):
        job_id = submit(sessions)
        claimed = claim(sessions)
        figures = Figures(latency_ms=LatencyFigures(predicted=1.0), macs=5, accuracy=0.9, checkpoint="final")
        record(sessions, "add_checkpoint", claimed, checkpoint("final", "final", 1))
        record(sessions, "set_result", claimed, figures)
        record(sessions, "finish", claimed, "succeeded")
        job = look(sessions, job_id)
        assert (job.state, job.result, job.phase, job.progress.fraction) == ("succeeded", figures, None, 1.0)
        with pytest.raises(LeaseLost):
            record(sessions, "finish", claimed, "failed")

    def test_everything_that_a_resume_needs_is_found_again(self, sessions):
        job_id = submit(sessions)
        claimed = claim(sessions)
        record(sessions, "set_value", claimed, "original", SCORES)
        record(sessions, "add_measurement", claimed, "0", {"ms": 2.0})
        record(sessions, "add_checkpoint", claimed, checkpoint("0", "original", 0))
        record(sessions, "add_iteration", claimed, NewIteration(iteration=1, constraint={}, before={}))
        with reading(sessions) as session:
            begun = load_progress(session, job_id)
        assert (begun.finished, begun.checkpoint.checkpoint, begun.open_iteration.iteration) == ((), "0", 1)
        done = FinishedIteration(iteration=1, picked=[], reasons={}, after={}, kept={"g1": (0, 2)}, holdout={})
        record(sessions, "finish_iteration", claimed, done)
        record(sessions, "add_checkpoint", claimed, checkpoint("1", "pick", 1, "b" * 64))
        record(sessions, "add_iteration", claimed, NewIteration(iteration=2, constraint={}, before={}))
        record(sessions, "set_control", claimed, 2, Control(accuracy=0.4, loss=1.0, learning_rate=0.01))
        record(sessions, "add_proposal", claimed, proposal(iteration=2))
        for epoch, letter in ((1, "c"), (2, "d")):
            blob = Blob(sha256=letter * 64, bytes=7)
            record(sessions, "save_epoch_state", claimed, epoch=epoch, epochs=3, holdout=None, blob=blob)
        with reading(sessions) as session:
            found = load_progress(session, job_id)
        assert [iteration.kept for iteration in found.finished] == [{"g1": (0, 2)}]
        assert (found.checkpoint.checkpoint, found.checkpoint.files[0].sha256) == ("1", "b" * 64)
        assert found.open_iteration.control["learning_rate"] == 0.01
        assert [p.group for p in found.proposals] == ["g1"]
        assert (found.measurements, found.values) == ({"0": {"ms": 2.0}}, {"original": SCORES})
        assert (found.epoch_state.epoch, found.epoch_state.sha256) == (2, "d" * 64)


class TestOwnersAndActions:
    def test_what_is_somebody_elses_is_not_there(self, sessions):
        job_id = submit(sessions)
        with unit_of_work(sessions) as session:
            jobs, history = JobRepository(session), JobHistory(session)
            assert jobs.list_jobs(BOB, limit=10).items == ()
            for act in (jobs.get_job, jobs.cancel_job, jobs.pause_job, jobs.resume_job, jobs.delete_job):
                with pytest.raises(JobNotFound):
                    act(BOB, job_id)
            for look_into in (history.list_events, history.list_iterations, history.list_proposals):
                with pytest.raises(JobNotFound):
                    look_into(BOB, job_id, after=0, limit=10)

    def test_jobs_are_listed_newest_first_in_pages_that_lose_none(self, sessions):
        submitted = [submit(sessions) for _ in range(5)]
        seen, after = [], None
        with reading(sessions) as session:
            while True:
                page = JobRepository(session).list_jobs(ANN, limit=2, after=after)
                seen += [job.id for job in page.items]
                if page.next_position is None:
                    break
                after = (page.items[-1].created_at, page.items[-1].id)
        assert sorted(seen) == sorted(submitted)
        assert seen[0] == submitted[-1]

    def test_listings_can_be_filtered_by_state_and_model(self, sessions):
        submit(sessions), submit(sessions)
        running = claim(sessions).id
        with reading(sessions) as session:
            jobs = JobRepository(session)
            assert [job.id for job in jobs.list_jobs(ANN, limit=10, state="running").items] == [running]
            assert len(jobs.list_jobs(ANN, limit=10, model_id="mdl_a").items) == 2
            assert jobs.list_jobs(ANN, limit=10, model_id="mdl_other").items == ()

    def test_actions_on_a_queued_job_happen_at_once_and_repeat_without_effect(self, sessions):
        job_id = submit(sessions)
        with unit_of_work(sessions) as session:
            jobs = JobRepository(session)
            seen = [
                (job.state, changed)
                for job, changed in (
                    jobs.resume_job(ANN, job_id),
                    jobs.pause_job(ANN, job_id),
                    jobs.pause_job(ANN, job_id),
                    jobs.resume_job(ANN, job_id),
                    jobs.cancel_job(ANN, job_id),
                    jobs.cancel_job(ANN, job_id),
                )
            ]
            assert seen == [
                ("queued", False),
                ("paused", True),
                ("paused", False),
                ("queued", True),
                ("cancelled", True),
                ("cancelled", False),
            ]
            for act in (jobs.pause_job, jobs.resume_job):
                with pytest.raises(WrongState):
                    act(ANN, job_id)

    def test_a_running_job_is_asked_and_cannot_be_deleted(self, sessions):
        job_id = submit(sessions)
        claim(sessions)
        with unit_of_work(sessions) as session:
            jobs = JobRepository(session)
            assert jobs.pause_job(ANN, job_id)[0].requested == "pause"
            assert jobs.resume_job(ANN, job_id)[0].requested is None
            assert jobs.cancel_job(ANN, job_id)[0].requested == "cancel"
            for act in (jobs.pause_job, jobs.resume_job, jobs.delete_job):
                with pytest.raises(WrongState):
                    act(ANN, job_id)

    def test_a_deleted_job_takes_everything_of_its_own_along(self, sessions):
        job_id = submit(sessions)
        claimed = claim(sessions)
        record(sessions, "add_iteration", claimed, NewIteration(iteration=1, constraint={}, before={}))
        record(sessions, "add_proposal", claimed, proposal())
        record(sessions, "add_checkpoint", claimed, checkpoint("0", "original", 0))
        record(sessions, "finish", claimed, "failed", {"detail": "x"})
        with unit_of_work(sessions) as session:
            JobRepository(session).delete_job(ANN, job_id)
        with reading(sessions) as session, pytest.raises(JobNotFound):
            JobHistory(session).list_events(ANN, job_id, after=0, limit=1)

    def test_a_file_that_is_not_there_is_named(self, sessions):
        job_id = submit(sessions)
        record(sessions, "add_checkpoint", claim(sessions), checkpoint("0", "original", 0))
        with reading(sessions) as session:
            history = JobHistory(session)
            assert history.get_checkpoint_file(ANN, job_id, "0", "onnx").bytes == 3
            with pytest.raises(PartNotFound, match="pt2 file of checkpoint 0"):
                history.get_checkpoint_file(ANN, job_id, "0", "pt2")
            with pytest.raises(PartNotFound, match="checkpoint 7"):
                history.get_checkpoint_file(ANN, job_id, "7", "onnx")


class TestTasks:
    def test_two_who_ask_for_the_same_get_one_task_until_it_is_done(self, sessions):
        with unit_of_work(sessions) as session:
            tasks = TaskQueue(session)
            first = tasks.enqueue_task("ann", "profile", "mdl_a/local", {"n": 1})
            assert tasks.enqueue_task("bob", "profile", "mdl_a/local", {"n": 2}).id == first.id
            claimed = tasks.claim_next_task("w1", lease_s=60)
            assert (claimed.id, claimed.payload) == (first.id, {"n": 1})
            assert tasks.claim_next_task("w2", lease_s=60) is None
            tasks.finish_task(claimed, result={"ms": 2.0})
            assert tasks.find_latest("profile", "mdl_a/local").result == {"ms": 2.0}
            assert tasks.enqueue_task("ann", "profile", "mdl_a/local", {}).id != first.id

    def test_many_who_ask_for_the_same_at_once_get_one_task(self, sessions):
        def ask(_: int) -> str:
            with unit_of_work(sessions) as session:
                task = TaskQueue(session).enqueue_task("ann", "profile", "mdl_a/local", {})
                time.sleep(0.02)  # in the middle of its transaction, where others might not see the task yet
                return task.id

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(ask, range(8)))) == 1

    def test_a_task_whose_worker_was_lost_is_claimed_again_and_given_up_in_the_end(self, sessions):
        with unit_of_work(sessions) as session:
            tasks = TaskQueue(session)
            tasks.enqueue_task("ann", "profile", "x", {})
            held = [tasks.claim_next_task("w", lease_s=-1) for _ in range(3)]
            assert len({claimed.fence for claimed in held}) == tasks.find_latest("profile", "x").attempts == 3
            with pytest.raises(LeaseLost):
                tasks.finish_task(held[0], result={})
            assert tasks.claim_next_task("w", lease_s=60) is None
            task = tasks.find_latest("profile", "x")
            assert (task.state, task.error["type"]) == ("failed", "urn:netadapt:problem:worker-lost")
