"""`/v1/session`: a browser trades a token for a cookie that no script can read."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Cookie, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.auth import COOKIE, Authenticator, SignedIn
from app.database import unit_of_work
from app.dependencies import Services, ServicesDep
from app.json_body import read_json, validate
from app.openapi import json_body

router = APIRouter(prefix="/v1/session", tags=["sign-in"])


class SignIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    token: str = Field(min_length=1, max_length=500)


class SignedInAs(BaseModel):
    owner: str
    role: str
    expires_at: datetime


async def _sign_in(request: Request, services: ServicesDep) -> SignIn:
    return validate(SignIn, await read_json(request, services.settings.max_body_bytes))


@router.post("", openapi_extra=json_body(SignIn))
async def sign_in(
    request: Request, response: Response, asked: Annotated[SignIn, Depends(_sign_in)], services: ServicesDep
) -> SignedInAs:
    """Sets the cookie: HttpOnly, SameSite=Strict, and Secure over TLS. A session that the browser had before ends."""
    session = await run_in_threadpool(_open, services, asked.token, request.cookies.get(COOKIE))
    response.set_cookie(
        COOKIE,
        session.secret,
        max_age=int(services.settings.session_hours * 3600),
        path="/",
        httponly=True,
        samesite="strict",
        secure=_is_secure(request, services),
    )
    return SignedInAs(owner=session.caller.id, role=session.caller.role, expires_at=session.expires_at)


@router.delete("", status_code=204)
def sign_out(
    request: Request, services: ServicesDep, cookie: Annotated[str | None, Cookie(alias=COOKIE)] = None
) -> Response:
    """Ends the session on the server too; without one it changes nothing."""
    if cookie is not None:
        with unit_of_work(services.sessions) as session:
            Authenticator(session).sign_out(cookie)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=_is_secure(request, services))
    return response


def _open(services: Services, token: str, before: str | None) -> SignedIn:
    with unit_of_work(services.sessions) as session:
        guard = Authenticator(session)
        opened = guard.sign_in(token, hours=services.settings.session_hours)
        if before is not None:
            guard.sign_out(before)
        return opened


def _is_secure(request: Request, services: Services) -> bool:
    return services.settings.behind_tls or request.url.scheme == "https"
