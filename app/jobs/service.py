"""The rules about jobs: what may be asked for, and what continues what."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from adapt.budget import parse_budget, resolve
from adapt.data.class_order import are_names, class_order
from adapt.data.fit import channels_fit
from adapt.errors import DatasetRefused, ExtraAbsent, figure_of
from adapt.executors.ray import require_ray
from adapt.graph.network import Graph
from adapt.layer_patterns import check_patterns
from adapt.presets import settings_from_document, settings_to_document
from adapt.spec import RESOURCES, Final, Settings
from adapt.zoo.architecture import ArchitectureNotFound
from adapt.zoo.catalogue import get_architecture
from app.database import Sessions, on_one_machine, reading, unit_of_work
from app.datasets.records import Dataset
from app.datasets.repository import DatasetRepository
from app.feasibility.assessment import Feasibility
from app.feasibility.service import FeasibilityService
from app.gpu import driver_is_here
from app.jobs.errors import ReferenceNotFound, WrongState
from app.jobs.family import Member, choose_members
from app.jobs.history import JobHistory
from app.jobs.records import Document, Figures, Job, NewJob
from app.jobs.repository import JobRepository
from app.jobs.schemas import BudgetIn, FamilyIn, JobIn
from app.jobs.settings_schema import SettingsIn
from app.json_body import InvalidFields
from app.models.records import UNTRAINED, Model
from app.models.repository import ModelRepository
from app.records import LAST_STATES, SYSTEM_OWNER, Caller
from app.targets.records import Target, TargetNotFound
from app.targets.repository import TargetRepository


def _nothing(_session: Session, _added: Any) -> None:
    """Nobody is told."""


class JobService:
    """Threads may share one."""

    def __init__(
        self, sessions: Sessions, *, most_open: int | None = None, also: Callable[[Session, Job], None] = _nothing
    ) -> None:
        """`most_open`: jobs of one owner that are not over. `also` is done in the transaction that adds a job."""
        self._sessions, self._most_open, self._also = sessions, most_open, also
        self._feasibility = FeasibilityService(sessions)

    def submit(self, caller: Caller, asked: JobIn) -> Job:
        """A queued job. What can be known to fail is refused here, and nothing is kept of it.

        Raises ReferenceNotFound, InvalidFields, NoSuchLayer, BudgetUnreachable, ScheduleTooShort, TableDoesNotCover,
        TooManyJobs.
        """
        self._check_asked(caller, asked)
        settings, budget = asked.settings.effective(), asked.budget.as_asked()
        self._feasibility.refuse_unreachable(caller, asked.model, asked.target, settings, parse_budget(budget))
        new = NewJob(
            name=asked.name,
            model_id=asked.model,
            dataset_id=asked.dataset,
            target_id=asked.target,
            budget=dict(budget),
            settings=settings_to_document(settings),
        )
        try:
            return self._add(caller, new)
        except IntegrityError:
            self._check_asked(caller, asked)  # says what was deleted in that moment
            raise

    def check(self, caller: Caller, asked: JobIn) -> Feasibility:
        """Whether the budget can be met; no job. Raises as `submit` does, but for BudgetUnreachable."""
        self._check_asked(caller, asked)
        limits = parse_budget(asked.budget.as_asked())
        settings = asked.settings.effective()
        return self._feasibility.check(caller, asked.model, asked.target, settings, limits, asked.dataset)

    def extend(self, caller: Caller, job_id: str, budget: BudgetIn) -> Job:
        """A new job that starts from the last iteration of one that is over; where that finished none and goes on from
        another itself, from the last iteration of that one, which it then continues.

        Raises JobNotFound, WrongState, TooManyJobs; InvalidFields for a budget that is not tighter, and for a target
        that was refused meanwhile.
        """
        with reading(self._sessions) as session:
            source = _whose_iteration(session, caller, job_id)
            started = JobHistory(session).list_checkpoints(caller, source.id, after=0, limit=1).items
            before = JobRepository(session).get_job(caller, job_id)  # last: of one deleted meanwhile nothing was read
        if before.state not in LAST_STATES:
            raise WrongState(job_id, before.state, "extended", "wait for its end, or cancel it")
        if not started:
            raise WrongState(job_id, before.state, "extended", "it ended before it had anything to go on from")
        if before.from_iteration is not None:
            why = f"it is of the family of job {before.continues} and has searched nothing: extend that one"
            raise WrongState(job_id, before.state, "extended", why)
        asked = budget.as_asked()
        _check_tighter(before, before.original or source.original, asked)
        self._check_material(caller, before.model_id, before.dataset_id, before.target_id)
        settings = settings_from_document(before.settings)
        self._feasibility.refuse_unreachable(caller, before.model_id, before.target_id, settings, parse_budget(asked))
        new = NewJob(
            name=before.name,
            model_id=before.model_id,
            dataset_id=before.dataset_id,
            target_id=before.target_id,
            budget=dict(asked),
            settings=before.settings,
            continues=source.id,
        )
        try:
            return self._add(caller, new)
        except IntegrityError:
            with reading(self._sessions) as session:
                JobRepository(session).get_job(caller, source.id)  # raises when it was deleted in that moment
            raise

    def family(
        self, caller: Caller, job_id: str, asked: FamilyIn, also: Callable[[Session, list[Job]], None] = _nothing
    ) -> list[Job]:
        """New jobs, each of which trains one pick of this one to the end; none of them searches.

        Raises JobNotFound, WrongState, TooManyJobs, and InvalidFields for a pick that is not there, a budget that none
        is within, and a target that was refused meanwhile.
        """
        with reading(self._sessions) as session:
            before = JobRepository(session).get_job(caller, job_id)
            picks = JobHistory(session).list_picks(caller, job_id)
        members = choose_members(before, picks, asked)
        self._check_material(caller, before.model_id, before.dataset_id, before.target_id)
        settings = settings_to_document(_of_members(settings_from_document(before.settings), asked.long_term_epochs))
        try:
            with unit_of_work(self._sessions) as session:
                jobs = [
                    JobRepository(session).add_job(
                        caller, _member_of(before, each, settings), most_open=self._most_open
                    )
                    for each in members
                ]
                also(session, jobs)
                return jobs
        except IntegrityError:
            with reading(self._sessions) as session:
                JobRepository(session).get_job(caller, job_id)  # raises when it was deleted in that moment
            raise

    def _add(self, caller: Caller, new: NewJob) -> Job:
        with unit_of_work(self._sessions) as session:
            job = JobRepository(session).add_job(caller, new, most_open=self._most_open)
            self._also(session, job)
            return job

    def _check_asked(self, caller: Caller, asked: JobIn) -> None:
        """Raises as `_check_material`, NoSuchLayer, and InvalidFields for a setting that this model has no use for."""
        model, graph = self._check_material(caller, asked.model, asked.dataset, asked.target)
        _check_is_trained(model, asked.settings)
        _check_is_there(asked.settings, self._sessions)
        check_patterns(graph, asked.settings.effective())

    def _check_material(self, caller: Caller, model_id: str, dataset_id: str, target_id: str) -> tuple[Model, Graph]:
        """Raises ReferenceNotFound, and InvalidFields for what was refused, or a data set that does not fit."""
        with reading(self._sessions) as session:
            model = ModelRepository(session).find_model(caller, model_id)
            dataset = DatasetRepository(session).find_dataset(caller, dataset_id)
            target = TargetRepository(session).find_target(caller, target_id)
            structure = None if model is None else ModelRepository(session).get_structure(caller, model_id)
        if model is None or structure is None:
            raise ReferenceNotFound("/model", _no_model(model_id))
        if dataset is None:
            raise ReferenceNotFound("/dataset", f"there is no data set {dataset_id}")
        if target is None:
            raise ReferenceNotFound("/target", str(TargetNotFound(target_id)))
        _check_measures(target)
        _check_fits(model, dataset)
        return model, structure.graph


def _whose_iteration(session: Session, caller: Caller, job_id: str) -> Job:
    """The job itself, or the nearest of those it continues that finished an iteration. Raises JobNotFound."""
    job = JobRepository(session).get_job(caller, job_id)
    while job.continues is not None and not JobHistory(session).list_picks(caller, job.id):
        job = JobRepository(session).get_job(caller, job.continues)
    return job


def _check_is_there(settings: SettingsIn, sessions: Sessions) -> None:
    """Raises InvalidFields where the workers are known to have no GPU, or no Ray: beside an SQLite file they are on
    this machine. Anywhere else a job finds out on its worker, before it trains anything."""
    if not on_one_machine(sessions):
        return
    if settings.device == "cuda" and not driver_is_here():
        detail = "cuda was asked for, and this machine has no NVIDIA driver; leave it out, or ask for cpu"
        raise InvalidFields([{"pointer": "/settings/device", "detail": detail}])
    if settings.executor == "ray":
        try:
            require_ray()
        except ExtraAbsent as absent:
            raise InvalidFields([{"pointer": "/settings/executor", "detail": str(absent)}]) from absent


def _of_members(settings: Settings, epochs: int | None) -> Settings:
    """Those of the search, but that there is a fine-tune: it is all that a member of a family is for."""
    final: Final = "finetune" if settings.final == "none" else settings.final
    chosen = replace(settings, final=final, long_term_epochs=epochs or settings.long_term_epochs)
    if not chosen.long_term_epochs:
        raise InvalidFields([{"pointer": "/long_term_epochs", "detail": "those of the job are 0; say how many"}])
    return chosen


def _member_of(before: Job, member: Member, settings: Document) -> NewJob:
    return NewJob(
        name=before.name,
        model_id=before.model_id,
        dataset_id=before.dataset_id,
        target_id=before.target_id,
        budget=member.budget,
        settings=settings,
        continues=before.id,
        from_iteration=member.iteration,
    )


def _no_model(name: str) -> str:
    """What else than an id was meant for a zoo name, and says what is wrong with that."""
    if not name.startswith("mdl_"):
        try:
            get_architecture(name)
        except ArchitectureNotFound as error:
            return f"there is no model {name}, and {error}"
    return f"there is no model {name}"


def _check_measures(target: Target) -> None:
    if target.state == "refused":
        detail = (target.error or {}).get("detail", "it did not pass its check")
        raise InvalidFields([{"pointer": "/target", "detail": f"target {target.id} was refused: {detail}"}])


def _check_fits(model: Model, dataset: Dataset) -> None:
    """Images of another size are resized, and grey and colour converted; classes have to be as many as outputs."""
    if dataset.state == "refused":
        detail = (dataset.error or {}).get("detail", "it could not be read")
        raise InvalidFields([{"pointer": "/dataset", "detail": f"data set {dataset.id} was refused: {detail}"}])
    if model.state == "refused":
        detail = (model.error or {}).get("detail", "it did not pass its check")
        raise InvalidFields([{"pointer": "/model", "detail": f"model {model.id} was refused: {detail}"}])
    if dataset.classes is not None and len(dataset.classes) != model.class_count:
        detail = f"{dataset.id} has {len(dataset.classes)} classes, the network has {model.class_count} outputs"
        raise InvalidFields([{"pointer": "/dataset", "detail": detail}])
    if dataset.classes is not None and model.classes:
        try:
            if are_names(dataset.classes, dataset.format):
                class_order(dataset.classes, model.classes)
        except DatasetRefused as error:
            raise InvalidFields([{"pointer": "/dataset", "detail": f"{dataset.id}: {error.why}"}]) from error
    channels = model.input_shape[0]
    found = channels if dataset.image_shape is None else dataset.image_shape[2]
    if dataset.owner != SYSTEM_OWNER and not channels_fit(found, channels):
        detail = (
            f"{dataset.id} has images of {found} channels, the network takes {channels}; only 1 and 3 are converted"
        )
        raise InvalidFields([{"pointer": "/dataset", "detail": detail}])


def _check_is_trained(model: Model, settings: SettingsIn) -> None:
    """A setting of the training before the search means nothing to a network that has its weights; its rate is that of
    a training from scratch at the end, too."""
    if model.format == UNTRAINED:
        return
    unread = {"training_epochs"} if settings.final == "from-scratch" else {"training_epochs", "training_learning_rate"}
    asked = [name for name in settings.asked_for() if name in unread]
    detail = (
        f"is for a zoo name, whose architecture is trained first; model {model.id} came with its weights "
        "(its fine-tunes are set by short_term_steps, learning_rate, long_term_epochs, long_term_learning_rate)"
    )
    if asked:
        raise InvalidFields([{"pointer": f"/settings/{name}", "detail": detail} for name in asked])


def _check_tighter(before: Job, original: Figures | None, asked: dict[str, float | str]) -> None:
    """At least one limit below the earlier one and none above; the same is fine where that one was not met. `original`
    is what shares are of."""
    if original is None:
        return
    figures = {
        "latency_ms": original.latency_ms.measured or original.latency_ms.predicted,
        "macs": original.macs,
        "params": original.params,
        "memory_bytes": original.memory_bytes,
    }
    known = {name: float(figure) for name in RESOURCES if (figure := figures[name]) is not None}
    earlier = resolve({k: v for k, v in parse_budget(before.budget).items() if k in known}, known, known).limits
    now = resolve({k: v for k, v in parse_budget(asked).items() if k in known}, known, known).limits
    for name, limit in earlier.items():
        if name not in now or now[name] > limit * (1 + 1e-9):
            detail = f"has to stay within {figure_of(limit)}, the budget of job {before.id}"
            raise InvalidFields([{"pointer": f"/budget/{name}", "detail": detail}])
    if before.state == "succeeded" and dict(now) == dict(earlier) and set(asked) <= set(before.budget):
        detail = f"is the one that job {before.id} has met already; ask for less"
        raise InvalidFields([{"pointer": "/budget", "detail": detail}])
