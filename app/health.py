"""`/healthz`: this process answers. `/readyz`: it can do its work. `/metrics`: what monitoring sees."""

from typing import cast

from fastapi import APIRouter, Depends, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel
from starlette.responses import JSONResponse, PlainTextResponse, Response

from app.auth import Forbidden
from app.dependencies import ServicesDep, identified
from app.problem_responses import problem_response
from app.problems import Problem
from app.readiness import OK, Readiness
from app.version import VERSION

router = APIRouter(tags=["health"])
NOT_READY = Problem(503, "not-ready", "Not ready")


class Health(BaseModel):
    status: str
    version: str


class Ready(Health):
    """`checks`: each part that this process needs, with "ok" or what is wrong with it."""

    checks: dict[str, str]


def check_may_monitor(request: Request, services: ServicesDep) -> None:
    """Raises SignInNeeded, BadCredentials or Forbidden where the operator keeps /metrics for administrators."""
    if services.settings.metrics_for == "admin" and identified(request, services).role != "admin":
        raise Forbidden("this service shows its metrics to administrators (a token of the role admin)")


@router.get("/healthz", response_model=Health)
async def healthz() -> JSONResponse:
    return JSONResponse({"status": "ok", "version": VERSION})


@router.get("/readyz", response_model=Ready)
async def readyz(request: Request) -> Response:
    """503 while the database is away or of another version, or the storage cannot be written."""
    readiness = cast(Readiness, request.app.state.readiness)  # put there by create_app
    checks = dict(await readiness.say())
    wrong = [said for said in checks.values() if said != OK]
    if wrong:
        return problem_response(NOT_READY, "; ".join(wrong), {"Retry-After": "5"}, checks=checks)
    return JSONResponse({"status": "ok", "version": VERSION, "checks": checks})


@router.get("/metrics", response_class=PlainTextResponse, dependencies=[Depends(check_may_monitor)])
def metrics(request: Request) -> PlainTextResponse:
    """Prometheus text. Counts only: nothing that belongs to anybody."""
    registry = cast(CollectorRegistry, request.app.state.metrics)  # put there by create_app
    return PlainTextResponse(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
