"""One profile is queued for what nobody has measured; an unreachable budget is refused where that is certain."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from adapt.budget import Share
from adapt.errors import BudgetUnreachable
from adapt.graph.pruning import groups_to_json
from adapt.latency.staircase import Ratio, Staircase
from adapt.latency.whole_networks import WholeNetwork
from adapt.presets import settings_from_document
from adapt.reach import least_counts
from app.database import Sessions, unit_of_work
from app.feasibility.service import MEASURE_TASK, PROFILE_TASK, TIMING_TASK, TRAINING_SPEED, FeasibilityService
from app.models.records import ModelNotFound
from app.models.repository import ModelRepository
from app.problem_documents import problem_document
from app.records import Caller
from app.tables import ModelRow, TaskRow
from app.targets.lookup import LookupRepository
from app.targets.networks import NetworkRepository
from app.targets.records import TargetNotFound
from app.targets.staircases import StaircaseRepository
from app.tasks.queue import TaskQueue
from tests.databases import DATABASES, migrated_sessions
from tests.feasible import GROUPS, NETWORK, SETTINGS, STRUCTURE, table
from tests.rows import add_model

ANN = Caller(id="ann")
HALF = {"latency_ms": Share(0.5)}


@pytest.fixture(params=DATABASES)
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sessions]:
    with migrated_sessions(request.param, tmp_path) as made:
        with unit_of_work(made) as session:
            add_model(session, "mdl_a")
            row = session.get_one(ModelRow, "mdl_a")
            row.graph, row.groups = NETWORK.graph.to_json(), []
            row.plan = groups_to_json(GROUPS)
        yield made


def tasks(sessions: Sessions, kind: str = PROFILE_TASK) -> int:
    with sessions() as session:
        return session.query(TaskRow).filter_by(kind=kind).count()


def measured(sessions: Sessions, counts: Mapping[str, int], ms: float) -> None:
    network = WholeNetwork(ms=ms, low=0.99 * ms, high=1.01 * ms, original_ms=10.0)
    with unit_of_work(sessions) as session:
        NetworkRepository(session).store_network("local", "mdl_a", counts, table().conditions.fingerprint(), network)


def profiled(sessions: Sessions, result: dict | None = None) -> None:
    """What a worker does about the profile that was queued."""
    with unit_of_work(sessions) as session:
        queue = TaskQueue(session)
        claimed = queue.claim_next_task("w", lane="measuring", lease_s=30)
        assert claimed is not None
        assert claimed.payload["model"] == "mdl_a"
        assert settings_from_document(claimed.payload["settings"]) == SETTINGS
        LookupRepository(session).store_profile("local", "mdl_a", table())
        queue.finish_task(claimed, result=result)
    measured(sessions, {group.id: group.channels for group in GROUPS}, 10.0)
    for counts, ms in zip(least_counts(GROUPS, SETTINGS), (6.0, 7.0), strict=True):
        measured(sessions, counts, ms)


def test_one_profile_is_queued_however_often_it_is_asked(sessions: Sessions) -> None:
    service = FeasibilityService(sessions)
    for _ in range(3):
        answer = service.check(ANN, "mdl_a", "local", SETTINGS, HALF)
        assert (answer.feasible, answer.retry_after_seconds) == (None, 10)
    assert tasks(sessions) == 1


def test_counts_need_no_profile(sessions: Sessions) -> None:
    answer = FeasibilityService(sessions).check(ANN, "mdl_a", "local", SETTINGS, {"macs": Share(0.9)})
    assert (answer.feasible, tasks(sessions)) == (True, 0)


def test_a_new_job_queues_no_profile_and_is_refused_only_where_it_is_certain(sessions: Sessions) -> None:
    service = FeasibilityService(sessions)
    service.refuse_unreachable(ANN, "mdl_a", "local", SETTINGS, HALF)
    assert tasks(sessions) == 0
    with pytest.raises(BudgetUnreachable, match="params: 1 asked"):
        service.refuse_unreachable(ANN, "mdl_a", "local", SETTINGS, {"params": 1.0})


def test_what_a_profile_measured_answers_the_next_check(sessions: Sessions) -> None:
    service = FeasibilityService(sessions)
    service.check(ANN, "mdl_a", "local", SETTINGS, HALF)
    profiled(sessions)
    answer = service.check(ANN, "mdl_a", "local", SETTINGS, HALF)
    assert (answer.feasible, answer.basis, answer.budget["latency_ms"]) == (False, "measured", 5.0)
    with pytest.raises(BudgetUnreachable, match=r"6 \(measured, its interval reaches up to 6.06\) is the least"):
        service.refuse_unreachable(ANN, "mdl_a", "local", SETTINGS, HALF)
    assert service.check(ANN, "mdl_a", "local", SETTINGS, {"latency_ms": Share(0.7)}).feasible is True
    assert tasks(sessions) == 1


def test_a_profile_that_lacks_operators_of_the_model_is_taken_again(sessions: Sessions) -> None:
    service = FeasibilityService(sessions)
    lacking = replace(table(), entries=table().entries[:1])
    with unit_of_work(sessions) as session:
        LookupRepository(session).store_profile("local", "mdl_a", lacking)
    answer = service.check(ANN, "mdl_a", "local", SETTINGS, HALF)
    assert (answer.feasible, answer.retry_after_seconds, tasks(sessions)) == (None, 10, 1)


def test_other_settings_have_another_smallest_network_and_just_that_is_measured(sessions: Sessions) -> None:
    service = FeasibilityService(sessions)
    service.check(ANN, "mdl_a", "local", SETTINGS, HALF)
    profiled(sessions)
    narrower = replace(SETTINGS, exclude=("conv2",))
    for _ in range(2):
        answer = service.check(ANN, "mdl_a", "local", narrower, HALF)
        assert (answer.feasible, answer.basis, answer.retry_after_seconds) == (None, None, 2)
        assert "is being measured" in (answer.reason or "")
        assert answer.latency["original"].measured == 10.0
    assert (tasks(sessions), tasks(sessions, MEASURE_TASK)) == (1, 1)
    service.refuse_unreachable(ANN, "mdl_a", "local", narrower, {"latency_ms": 1e-6})  # the job itself will measure
    with unit_of_work(sessions) as session:
        queue = TaskQueue(session)
        claimed = queue.claim_next_task("w", lane="measuring", lease_s=30)
        assert claimed is not None
        assert settings_from_document(claimed.payload["settings"]) == narrower
        queue.finish_task(claimed)
    for counts, ms in zip(least_counts(GROUPS, narrower), (8.0, 9.0), strict=True):
        measured(sessions, counts, ms)
    answer = service.check(ANN, "mdl_a", "local", narrower, HALF)
    assert (answer.feasible, answer.basis, answer.smallest["latency_ms"]) == (False, "measured", 8.0)
    with pytest.raises(BudgetUnreachable):
        service.refuse_unreachable(ANN, "mdl_a", "local", narrower, {"latency_ms": 1e-6})


def test_where_measuring_fails_the_table_predicts_and_it_is_said_why(sessions: Sessions) -> None:
    service = FeasibilityService(sessions)
    service.check(ANN, "mdl_a", "local", SETTINGS, HALF)
    profiled(sessions)
    narrower = replace(SETTINGS, exclude=("conv2",))
    service.check(ANN, "mdl_a", "local", narrower, HALF)
    with unit_of_work(sessions) as session:
        claimed = TaskQueue(session).claim_next_task("w", lane="measuring", lease_s=30)
        assert claimed is not None
        error = problem_document("measurement-failed", "Measurement failed", 500, "the runtime crashed")
        TaskQueue(session).finish_task(claimed, error=error)
    answer = service.check(ANN, "mdl_a", "local", narrower, {"latency_ms": Share(0.9)})
    assert (answer.basis, answer.certain) == ("predicted", False)
    assert "the runtime crashed" in (answer.reason or "")


def test_how_long_it_takes_is_told_once_a_worker_has_timed_a_training_step(sessions: Sessions) -> None:
    service = FeasibilityService(sessions)
    asked = {"macs": Share(0.5)}
    assert service.check(ANN, "mdl_a", "local", SETTINGS, asked, "digits").seconds_estimate is None
    with unit_of_work(sessions) as session:
        queue = TaskQueue(session)
        queue.enqueue_task("ann", TIMING_TASK, "mdl_a", {"model": "mdl_a"}, lane="measuring")
        claimed = queue.claim_next_task("w", lane="measuring", lease_s=30)
        assert claimed is not None
        queue.finish_task(claimed, result={TRAINING_SPEED: {"ms_per_image": 1.0, "processes": 2}})
    by_check = service.check(ANN, "mdl_a", "local", SETTINGS, asked, "digits").seconds_estimate
    assert by_check is not None
    service.check(ANN, "mdl_a", "local", SETTINGS, HALF)
    profiled(sessions, {TRAINING_SPEED: {"ms_per_image": 10.0, "processes": 2}})
    by_profile = service.check(ANN, "mdl_a", "local", SETTINGS, asked, "digits").seconds_estimate
    assert by_profile is not None
    assert by_profile > by_check
    assert service.check(ANN, "mdl_a", "local", SETTINGS, asked).seconds_estimate is None, "of no data set"


def test_a_profile_that_failed_is_told_and_not_repeated_at_once(sessions: Sessions) -> None:
    service = FeasibilityService(sessions)
    service.check(ANN, "mdl_a", "local", SETTINGS, HALF)
    with unit_of_work(sessions) as session:
        claimed = TaskQueue(session).claim_next_task("w", lane="measuring", lease_s=30)
        assert claimed is not None
        error = problem_document("measurement-failed", "Measurement failed", 500, "the runtime crashed")
        TaskQueue(session).finish_task(claimed, error=error)
    answer = service.check(ANN, "mdl_a", "local", SETTINGS, HALF)
    assert answer.feasible is None
    assert "the runtime crashed" in (answer.reason or "")
    assert tasks(sessions) == 1


def test_what_is_somebody_elses_is_not_there(sessions: Sessions) -> None:
    service = FeasibilityService(sessions)
    with pytest.raises(ModelNotFound):
        service.check(Caller(id="bob"), "mdl_a", "local", SETTINGS, HALF)
    with pytest.raises(TargetNotFound):
        service.check(ANN, "mdl_a", "tgt_none", SETTINGS, HALF)


def test_a_check_writes_groups_that_are_read_back(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        add_model(session, "mdl_b", state="checking")
        session.get_one(ModelRow, "mdl_b").graph = NETWORK.graph.to_json()
        models = ModelRepository(session)
        assert models.get_structure(ANN, "mdl_b").groups is None
        models.finish_check("mdl_b", GROUPS)
        session.flush()
        session.expire_all()
        assert models.get_structure(ANN, "mdl_b") == STRUCTURE
        model = models.get_model(ANN, "mdl_b")
        assert model.state == "ready"
        assert [group.id for group in model.groups or ()] == [group.id for group in GROUPS]


def test_a_model_whose_check_was_given_up_is_refused(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        add_model(session, "mdl_c", state="checking")
        TaskQueue(session).enqueue_task("ann", "model-check", "mdl_c", {"model": "mdl_c"})
        claimed = TaskQueue(session).claim_next_task("w", lease_s=30)
        assert claimed is not None
        TaskQueue(session).finish_task(claimed, error=problem_document("worker-lost", "x", 500, "x"))
        ModelRepository(session).refuse_abandoned()
        session.expire_all()
        model = ModelRepository(session).get_model(ANN, "mdl_c")
        assert (model.state, (model.error or {})["type"]) == ("refused", "urn:netadapt:problem:check-failed")


def test_auto_rounding_is_what_was_found_on_the_target_or_eight_and_says_so(sessions: Sessions) -> None:
    service = FeasibilityService(sessions)
    auto = replace(SETTINGS, round_channels_to="auto", min_channels=4)
    counted = service.check(ANN, "mdl_a", "local", auto, {"macs": Share(0.9)})
    assert (counted.feasible, "rounded to 8" in (counted.reason or "")) == (True, True)
    with unit_of_work(sessions) as session:
        LookupRepository(session).store_profile("local", "mdl_a", table())
        conditions = table().conditions.fingerprint()
        found = Staircase(step=4, reason="measured", curve={96: Ratio(ratio=0.5, low=0.4, high=0.6)})
        StaircaseRepository(session).store_staircase("local", conditions, found)
    with sessions() as session:
        assert StaircaseRepository(session).find_staircase("local") == found
        assert StaircaseRepository(session).find_staircase("local", "others") is None
    by_eight = service.check(ANN, "mdl_a", "local", replace(auto, round_channels_to=8), HALF)
    by_four = service.check(ANN, "mdl_a", "local", auto, HALF)
    assert (by_four.smallest["macs"] or 0) < (by_eight.smallest["macs"] or 0)
