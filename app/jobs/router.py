"""/v1/jobs: submitting, looking, acting. What lies within a job: app/jobs/parts_router.py."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from app.answers import IdempotencyKey, json_response, keyed_request
from app.blobs import delete_with_files
from app.database import reading, unit_of_work
from app.dependencies import CallerDep, Cursor, Limit, Services, ServicesDep, in_reader
from app.idempotency import Answer, KeyedRequest, answer_once, keep_answer
from app.jobs.documents import job_document
from app.jobs.records import Job
from app.jobs.repository import Changed, JobRepository
from app.jobs.schemas import ExtendIn, FeasibilityOut, JobIn, JobListing, JobOut
from app.jobs.service import JobService
from app.jobs.submission import FORM_SCHEMA, Submission, receive_submission, stored_files
from app.json_body import read_json, validate
from app.newest_first import page_start
from app.openapi import json_body
from app.paging import listing
from app.quotas import QuotaRepository
from app.records import Caller, JobState

PATH = "/v1/jobs"
router = APIRouter(prefix=PATH, tags=["jobs"])
_DONE_ALREADY: dict[int | str, dict[str, Any]] = {200: {"model": JobOut, "description": "It is in that state already."}}
_READ: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"Last-Event-ID": {"description": "Of the job's events.", "schema": {"type": "integer"}}}}
}
Action = Callable[[JobRepository, Caller, str], Changed]


@router.post(
    "",
    status_code=202,
    response_model=JobOut,
    responses={200: {"model": FeasibilityOut, "description": "With validate_only."}},
    openapi_extra=json_body(JobIn, multipart_form_data=FORM_SCHEMA),
)
async def submit_job(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    validate_only: Annotated[bool, Query(description="Say whether the budget can be met; make no job.")] = False,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """A model id and a budget, or in one call the network's file and a budget."""
    async with receive_submission(request, services) as submission:

        def act() -> JSONResponse:
            if validate_only:
                return _check(services, caller, submission)
            keyed = keyed_request(request, caller, idempotency_key, **submission.content())
            return _submit(services, caller, submission, keyed)

        return await (run_in_threadpool(act) if submission.form is None else in_reader(services, act))


@router.get("", response_model=JobListing)
def list_jobs(
    services: ServicesDep,
    caller: CallerDep,
    state: JobState | None = None,
    model: Annotated[str | None, Query(max_length=100)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> JSONResponse:
    """Newest first."""
    filters: dict[str, object] = {"state": state, "model": model}
    with reading(services.sessions) as session:
        page = JobRepository(session).list_jobs(
            caller, limit=limit, state=state, model_id=model, after=page_start(cursor, PATH, filters)
        )
    return JSONResponse(listing(page, [job_document(job) for job in page.items], PATH, filters))


@router.get("/{job_id}", response_model=JobOut, responses=_READ)
def get_job(job_id: str, services: ServicesDep, caller: CallerDep) -> JSONResponse:
    """The header Last-Event-ID numbers the last event that this has in it: the stream of events goes on from there."""
    with reading(services.sessions) as session:
        job = JobRepository(session).get_job(caller, job_id)
    return JSONResponse(job_document(job), headers={"Last-Event-ID": str(job.event_counter)})


@router.delete("/{job_id}", status_code=204)
def delete_job(job_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """With its iterations, proposals, checkpoints and their files. 409 while it runs, or a job goes on from it."""
    delete_with_files(
        services.sessions, services.storage, lambda session: JobRepository(session).delete_job(caller, job_id)
    )
    return Response(status_code=204)


@router.post("/{job_id}/cancel", status_code=202, response_model=JobOut, responses=_DONE_ALREADY)
def cancel_job(job_id: str, services: ServicesDep, caller: CallerDep) -> JSONResponse:
    """What was found so far is kept."""
    return _act(services, caller, job_id, JobRepository.cancel_job)


@router.post("/{job_id}/pause", status_code=202, response_model=JobOut, responses=_DONE_ALREADY)
def pause_job(job_id: str, services: ServicesDep, caller: CallerDep) -> JSONResponse:
    return _act(services, caller, job_id, JobRepository.pause_job)


@router.post("/{job_id}/resume", status_code=202, response_model=JobOut, responses=_DONE_ALREADY)
def resume_job(job_id: str, services: ServicesDep, caller: CallerDep) -> JSONResponse:
    return _act(services, caller, job_id, JobRepository.resume_job)


@router.post("/{job_id}/extend", status_code=202, response_model=JobOut, openapi_extra=json_body(ExtendIn))
async def extend_job(
    job_id: str, request: Request, services: ServicesDep, caller: CallerDep, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """A new job that goes on from the last iteration of this one, with a tighter budget.

    Where this one finished no iteration and continues another, from the last iteration of that one: `continues` says
    whose it is.
    """
    asked = validate(ExtendIn, await read_json(request, services.settings.max_body_bytes))
    keyed = keyed_request(request, caller, idempotency_key, budget=asked.budget.as_asked())

    def extend() -> Answer:
        refuse_without_room(services, caller)
        return _accepted(_jobs(services, keyed).extend(caller, job_id, asked.budget))

    answer = await run_in_threadpool(answer_once, services.sessions, keyed, extend)
    return json_response(answer)


def _jobs(services: Services, keyed: KeyedRequest | None = None) -> JobService:
    def keep(session: Session, job: Job) -> None:
        keep_answer(session, keyed, _accepted(job))

    return JobService(services.sessions, most_open=services.settings.max_open_jobs or None, also=keep)


def _submit(services: Services, caller: Caller, submission: Submission, keyed: KeyedRequest | None) -> JSONResponse:
    def submit() -> Answer:
        refuse_without_room(services, caller)
        with stored_files(services, caller, submission) as asked:
            return _accepted(_jobs(services, keyed).submit(caller, asked))

    return json_response(answer_once(services.sessions, keyed, submit))


def refuse_without_room(services: Services, caller: Caller) -> None:
    """A job writes checkpoints: nobody begins one who may store nothing more. Raises QuotaExceeded."""
    with reading(services.sessions) as session:
        QuotaRepository(session, services.quotas).refuse_bytes(caller, 1)


def _check(services: Services, caller: Caller, submission: Submission) -> JSONResponse:
    with stored_files(services, caller, submission) as asked:
        answer = _jobs(services).check(caller, asked)
    return JSONResponse(FeasibilityOut.model_validate(asdict(answer)).model_dump(mode="json"))


def _accepted(job: Job) -> Answer:
    return Answer(status=202, document=job_document(job), headers={"Location": f"{PATH}/{job.id}"})


def _act(services: Services, caller: Caller, job_id: str, action: Action) -> JSONResponse:
    with unit_of_work(services.sessions) as session:
        job, changed = action(JobRepository(session), caller, job_id)
    return JSONResponse(job_document(job), 202 if changed else 200)
