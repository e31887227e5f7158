"""What every router asks for: the shared parts of the service, and who the caller is."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar, cast

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import Depends, Query, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from sqlalchemy import Engine

from app.auth import COOKIE, Authenticator, AuthError, Forbidden, is_loopback
from app.database import Sessions, make_engine, make_sessions, reading, unit_of_work
from app.paging import MAX_PAGE
from app.quotas import Quotas, quotas_of
from app.rate_limits import SIGNED_IN
from app.read_limits import ReadLimits
from app.records import Caller
from app.scratch import ScratchFolder
from app.settings import Settings
from app.storage import Storage
from app.streams import OpenStreams

FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Services:
    """Made once per application. `streams` are the answers that this process holds open, `readers` the threads in which
    uploads are parsed."""

    settings: Settings
    sessions: Sessions
    storage: Storage
    scratch_folder: ScratchFolder
    quotas: Quotas
    streams: OpenStreams
    readers: CapacityLimiter

    @property
    def scratch(self) -> Path:
        """A folder for files that live as long as a request."""
        return self.scratch_folder.path

    @property
    def read_limits(self) -> ReadLimits:
        return ReadLimits.of(self.settings)


def make_services(settings: Settings) -> Services:
    """Connects to nothing yet; makes the folder for uploads under way, which `close_services` removes.

    Raises OSError when the data folder cannot be written.
    """
    scratch = ScratchFolder(settings.scratch_dir, "api")
    storage = Storage(settings.storage_url, scratch.path)
    return Services(
        settings=settings,
        sessions=make_sessions(make_engine(settings.database_url), storage),
        storage=storage,
        scratch_folder=scratch,
        quotas=quotas_of(settings),
        streams=OpenStreams(settings.max_streams_per_owner),
        readers=CapacityLimiter(settings.max_reads_at_once),
    )


def close_services(services: Services) -> None:
    engine = services.sessions.kw["bind"]
    if isinstance(engine, Engine):
        engine.dispose()
    services.scratch_folder.close()


async def in_reader(services: Services, act: Callable[P, T], *given: P.args, **more: P.kwargs) -> T:
    """For what parses an upload in a child process, which may take minutes and gigabytes: few at a time, and whoever
    waits for a turn holds none of the threads that everybody else is served by."""
    return await anyio.to_thread.run_sync(partial(act, *given, **more), limiter=services.readers)


# Only for the document that describes the API; what they find is not looked at.
_Bearer = Annotated[object, Security(HTTPBearer(scheme_name="bearer", auto_error=False))]
_Cookie = Annotated[object, Security(APIKeyCookie(name=COOKIE, scheme_name="cookie", auto_error=False))]


async def get_services(request: Request) -> Services:  # async: what only looks something up needs no thread
    return cast(Services, request.app.state.services)  # put there by create_app, the only one that does


def get_agent_caller(
    request: Request, services: Annotated[Services, Depends(get_services)], _bearer: _Bearer, _cookie: _Cookie
) -> Caller:
    """Whoever may measure: a device's token, or a user's. Raises SignInNeeded, BadCredentials."""
    return identified(request, services)


def identified(request: Request, services: Services) -> Caller:
    """Whoever it is. Raises SignInNeeded, BadCredentials."""
    authorization = request.headers.get("authorization")
    with reading(services.sessions) as session:
        guard = Authenticator(session)
        caller = _identify(request, guard)
        note = authorization is not None and guard.is_use_worth_noting(authorization)
    if note and authorization is not None:
        with unit_of_work(services.sessions) as session:
            Authenticator(session).note_use(authorization)
    setattr(request.state, SIGNED_IN, True)
    return caller


def is_still_allowed(request: Request, services: Services) -> bool:
    """Whether whoever holds an answer open could still begin it: a token can be revoked meanwhile."""
    with reading(services.sessions) as session:
        try:
            return _identify(request, Authenticator(session)).role != "agent"
        except AuthError:
            return False


def _identify(request: Request, guard: Authenticator) -> Caller:
    authorization, cookie = request.headers.get("authorization"), request.cookies.get(COOKIE)
    return guard.identify(authorization, cookie, local_listener=_is_of_this_machine(request))


def _is_of_this_machine(request: Request) -> bool:
    """Whether nobody else can have sent it. What a proxy hands on can be anybody's, wherever the proxy runs."""
    listener = request.scope.get("server")
    local = listener is not None and (listener[1] is None or is_loopback(listener[0]))
    return local and not any(name in request.headers for name in FORWARDED)


async def get_caller(caller: Annotated[Caller, Depends(get_agent_caller)]) -> Caller:
    """Raises SignInNeeded, BadCredentials; Forbidden for a device's token."""
    if caller.role == "agent":
        raise Forbidden("this token is for devices that measure: it opens nothing else")
    return caller


async def hold_stream(
    request: Request,
    services: Annotated[Services, Depends(get_services)],
    caller: Annotated[Caller, Depends(get_agent_caller)],
) -> AsyncIterator[None]:
    """One of the caller's open streams, from here to the end of the answer. Raises TooManyStreams."""
    if request.method == "GET" and not wants_stream(request):
        yield
        return
    with services.streams.held(caller.id):
        yield


def wants_stream(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "").lower()


ServicesDep = Annotated[Services, Depends(get_services)]
AgentCallerDep = Annotated[Caller, Depends(get_agent_caller)]
CallerDep = Annotated[Caller, Depends(get_caller)]
HeldStream = Depends(hold_stream)
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.")]
