"""`/healthz`: this process answers. `/readyz`: it can do its work. `/metrics`: a few counts for Prometheus."""

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, PlainTextResponse, Response

from app.database import DatabaseError, check_migrated, reading
from app.dependencies import Services, ServicesDep
from app.jobs.counting import count_by_state
from app.problem_responses import problem_response
from app.problems import Problem
from app.version import VERSION

router = APIRouter(tags=["health"])
NOT_READY = Problem(503, "not-ready", "Not ready")


class Health(BaseModel):
    status: str
    version: str


@router.get("/healthz", response_model=Health)
async def healthz() -> JSONResponse:
    return JSONResponse({"status": "ok", "version": VERSION})


@router.get("/readyz", response_model=Health)
async def readyz(services: ServicesDep) -> Response:
    """503 while the database is away or of another version."""
    reason = await run_in_threadpool(_why_not_ready, services)
    if reason is not None:
        return problem_response(NOT_READY, reason, {"Retry-After": "5"})
    return JSONResponse({"status": "ok", "version": VERSION})


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(services: ServicesDep) -> PlainTextResponse:
    """Counts only: nothing that belongs to anybody."""
    lines = ["# HELP netadapt_jobs Jobs by state.", "# TYPE netadapt_jobs gauge"]
    with reading(services.sessions) as session:
        lines += [f'netadapt_jobs{{state="{state}"}} {count}' for state, count in count_by_state(session).items()]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _why_not_ready(services: Services) -> str | None:
    try:
        check_migrated(services.sessions.kw["bind"])
    except DatabaseError as error:
        return str(error)
    except SQLAlchemyError:
        return "the database does not answer"
    return None
