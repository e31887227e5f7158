"""The application: routers, handlers and the gate, put together by `create_app`. Importing this does nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp

import app.agent.router
import app.architectures
import app.dashboard.router
import app.datasets.router
import app.documentation
import app.health
import app.info
import app.jobs.family_router
import app.jobs.parts_router
import app.jobs.router
import app.models.router
import app.reports.router
import app.signin
import app.targets.router
import app.webhooks.router
from app.body_deadline import BodyDeadline
from app.database import check_migrated
from app.dependencies import close_services, make_services
from app.gate import Gate
from app.metrics import make_metrics
from app.openapi import finish_schema
from app.problem_responses import add_problem_handlers
from app.rate_limits import Buckets, Rate, RateLimits
from app.readiness import Readiness
from app.request_log import RequestLog
from app.security_headers import SecurityHeaders
from app.settings import Settings
from app.version import VERSION

ROUTERS = (
    app.dashboard.router.router,
    app.documentation.router,
    app.health.router,
    app.info.router,
    app.architectures.router,
    app.signin.router,
    app.models.router.router,
    app.datasets.router.router,
    app.targets.router.router,
    app.jobs.router.router,
    app.jobs.parts_router.router,
    app.jobs.family_router.router,
    app.reports.router.router,
    app.agent.router.router,
    app.webhooks.router.router,
)


class _Api(FastAPI):
    def build_middleware_stack(self) -> ASGIApp:
        # Around all of it: what FastAPI answers to a fault of ours passes no other middleware.
        settings: Settings = self.state.services.settings
        return SecurityHeaders(super().build_middleware_stack(), behind_tls=settings.behind_tls)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API on `settings` (default: from the environment). The database must be migrated by the time it starts.

    For uvicorn: `uvicorn --factory app.main:create_app`.
    """
    services = make_services(Settings() if settings is None else settings)

    @asynccontextmanager
    async def lifespan(_api: FastAPI) -> AsyncIterator[None]:
        try:
            check_migrated(services.sessions.kw["bind"])
            yield
        finally:
            close_services(services)

    api = _Api(
        title="NetAdapt Service",
        version=VERSION,
        summary="Shrinks a trained CNN until its measured latency meets a budget.",
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect would lose the body of an upload
        openapi_url=app.documentation.OPENAPI_PATH,
        docs_url=None,  # FastAPI's own pages load their scripts from elsewhere
        redoc_url=None,
    )
    api.state.services = services
    api.state.readiness = Readiness(services.sessions.kw["bind"], services.storage)
    api.state.metrics, requests = make_metrics(services.sessions)
    add_problem_handlers(api)
    _add_guards(api, services.settings)
    api.add_middleware(RequestLog, metrics=requests)  # the last one added is the outermost
    for router in ROUTERS:
        api.include_router(router)

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = finish_schema(
                get_openapi(title=api.title, version=api.version, summary=api.summary, routes=api.routes)
            )
        return api.openapi_schema

    # FastAPI's documented way to change the schema is to replace this method.
    api.openapi = openapi  # type: ignore[method-assign]
    return api


def _add_guards(api: FastAPI, settings: Settings) -> None:
    """The one added last is asked first: a page elsewhere shall not use up what its visitor may ask."""
    minute_s = 60
    failures = Rate(
        per_s=settings.failed_sign_ins_per_minute / minute_s, burst=2 * max(1, settings.failed_sign_ins_per_minute)
    )
    api.add_middleware(BodyDeadline, grace_s=settings.body_timeout_s)
    api.add_middleware(
        RateLimits,
        requests=Buckets(Rate(per_s=settings.requests_per_s, burst=settings.requests_burst)),
        failures=Buckets(failures),
    )
    api.add_middleware(Gate, allowed_hosts=settings.allowed_hosts, behind_tls=settings.behind_tls)
