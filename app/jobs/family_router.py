"""/v1/jobs/{id}/family and /curve: several networks for several devices out of one search."""

from fastapi import APIRouter, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from app.answers import IdempotencyKey, json_response, keyed_request
from app.database import reading
from app.dependencies import CallerDep, Cursor, Limit, ServicesDep
from app.idempotency import Answer, answer_once, keep_answer
from app.jobs.curve import curve_document
from app.jobs.documents import job_document
from app.jobs.history import JobHistory
from app.jobs.records import Job
from app.jobs.repository import JobRepository
from app.jobs.router import refuse_without_room
from app.jobs.schemas import CurveOut, FamilyIn, JobListing
from app.jobs.service import JobService
from app.json_answers import LongAnswer
from app.json_body import read_json, validate
from app.newest_first import page_start
from app.openapi import json_body
from app.paging import listing

MOST_MEMBERS = 10_000
"""On a curve; more than anybody draws."""
router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])


@router.post("/family", status_code=202, response_model=JobListing, openapi_extra=json_body(FamilyIn))
async def make_family(
    job_id: str, request: Request, services: ServicesDep, caller: CallerDep, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """New jobs, each of which trains one pick of this one to the end: one search serves fast and slow devices."""
    asked = validate(FamilyIn, await read_json(request, services.settings.max_body_bytes))
    keyed = keyed_request(request, caller, idempotency_key, asked=asked.model_dump(mode="json"))
    jobs = JobService(services.sessions, most_open=services.settings.max_open_jobs or None)

    def keep(session: Session, members: list[Job]) -> None:
        keep_answer(session, keyed, _accepted(job_id, members))

    def make() -> Answer:
        refuse_without_room(services, caller)
        return _accepted(job_id, jobs.family(caller, job_id, asked, also=keep))

    return json_response(await run_in_threadpool(answer_once, services.sessions, keyed, make))


@router.get("/family", response_model=JobListing)
def list_family(
    job_id: str, request: Request, services: ServicesDep, caller: CallerDep, cursor: Cursor = None, limit: Limit = 50
) -> JSONResponse:
    """The jobs that train picks of this one to the end, newest first."""
    path = request.url.path
    with reading(services.sessions) as session:
        jobs = JobRepository(session)
        jobs.get_job(caller, job_id)
        page = jobs.list_jobs(caller, limit=limit, family_of=job_id, after=page_start(cursor, path))
    return JSONResponse(listing(page, [job_document(job) for job in page.items], path, {}))


@router.get("/curve", response_model=CurveOut)
def get_curve(job_id: str, services: ServicesDep, caller: CallerDep) -> LongAnswer:
    """What each network of this job and its family needs and scores: the original, every pick, the result, the
    members, and what they compare with."""
    with reading(services.sessions) as session:
        jobs = JobRepository(session)
        job = jobs.get_job(caller, job_id)
        points = JobHistory(session).list_points(caller, job_id)
        members = jobs.list_jobs(caller, limit=MOST_MEMBERS, family_of=job_id).items
    return LongAnswer(curve_document(job, points, members))


def _accepted(job_id: str, members: list[Job]) -> Answer:
    document = {"data": [job_document(job) for job in members], "next_cursor": None}
    return Answer(status=202, document=document, headers={"Location": f"/v1/jobs/{job_id}/family"})
