"""Who asks: bearer tokens, the dashboard's cookie, and the rule that without tokens only this machine may ask."""

import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.database import database_now
from app.records import LOCAL_CALLER, Caller, Role, new_id
from app.tables import SessionRow, TokenRow

COOKIE = "netadapt_session"
_TOKEN_PREFIX, _SESSION_PREFIX = "nat_", "nas_"  # by which scanners, people and our own errors recognise a secret
_NOTE_USE_AFTER = timedelta(minutes=5)  # not every request of a busy client is worth a write


class AuthError(Exception):
    """Root of what keeps a caller out."""


class SignInNeeded(AuthError):
    def __str__(self) -> str:
        return "send a token (Authorization: Bearer ...); `netadapt token create` makes one"


class BadCredentials(AuthError):
    """Unknown, revoked or malformed: which of them is nobody's business."""

    def __str__(self) -> str:
        return "this token is not valid here"


class Forbidden(AuthError):
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


class BindRefused(AuthError):
    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return (
            f"{self.host} is reachable from other machines and there is no token yet: "
            "make one with `netadapt token create`, or listen on 127.0.0.1"
        )


class TokenNotFound(AuthError):
    def __init__(self, token_id: str) -> None:
        super().__init__(token_id)
        self.token_id = token_id

    def __str__(self) -> str:
        return f"there is no token {self.token_id}"


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token as it is listed: the secret itself is not kept."""

    id: str
    owner: str
    name: str | None
    role: Role
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """`secret` is the cookie's value."""

    caller: Caller
    secret: str
    expires_at: datetime


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a listener on `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_bind(host: str, *, tokens_exist: bool) -> None:
    """Raises BindRefused for an address beyond this machine while nobody would have to sign in."""
    if not tokens_exist and not is_loopback(host):
        raise BindRefused(host)


class TokenRepository:
    """For the command line of whoever runs the service. Never commits."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def tokens_exist(self) -> bool:
        """Revoked ones count: revoking the last token must not open the service to everybody."""
        return self._session.scalar(select(TokenRow.id).limit(1)) is not None

    def create_token(
        self, owner: str = LOCAL_CALLER.id, *, role: Role = "user", name: str | None = None
    ) -> tuple[Token, str]:
        """The token and its secret, which is shown this once. The default owner has what was made before there were
        tokens."""
        secret = _TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = TokenRow(
            id=new_id("tok"),
            hash=_hash(secret),
            owner=owner,
            name=name,
            role=role,
            created_at=database_now(self._session),
        )
        self._session.add(row)
        self._session.flush()
        return _token(row), secret

    def list_tokens(self) -> list[Token]:
        """Oldest first, revoked ones too."""
        return [_token(row) for row in self._session.scalars(select(TokenRow).order_by(TokenRow.created_at))]

    def revoke_token(self, token_id: str) -> None:
        """At once, with the sessions that were opened with it; a second time changes nothing. Raises TokenNotFound."""
        row = self._session.get(TokenRow, token_id)
        if row is None:
            raise TokenNotFound(token_id)
        row.revoked_at = row.revoked_at or database_now(self._session)
        self._session.execute(delete(SessionRow).where(SessionRow.token_id == token_id))


class Authenticator:
    """Never commits. `identify` only reads."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def identify(self, authorization: str | None, cookie: str | None, *, local_listener: bool) -> Caller:
        """The caller of a request. `local_listener`: it came in by an address that only this machine reaches.

        Raises SignInNeeded, BadCredentials.
        """
        if authorization is not None:
            return self._by_token(bearer_secret(authorization))
        if cookie is not None and (caller := self._by_cookie(cookie)) is not None:
            return caller
        if not TokenRepository(self._session).tokens_exist() and local_listener:
            return LOCAL_CALLER
        raise SignInNeeded

    def is_use_worth_noting(self, authorization: str) -> bool:
        """Whether `note_use` would write: most requests then need no write transaction. Raises BadCredentials."""
        row = self._find_token(bearer_secret(authorization))
        if row is None:
            return False
        return row.last_used_at is None or database_now(self._session) - row.last_used_at > _NOTE_USE_AFTER

    def note_use(self, authorization: str) -> None:
        now = database_now(self._session)
        used = update(TokenRow).where(TokenRow.hash == _hash(bearer_secret(authorization)))
        self._session.execute(used.values(last_used_at=now))

    def sign_in(self, secret: str, *, hours: float) -> SignedIn:
        """A browser's session for a token. Raises BadCredentials."""
        row = self._find_token(secret)
        if row is None or row.role == "agent":
            raise BadCredentials
        now = database_now(self._session)
        self._session.execute(delete(SessionRow).where(SessionRow.expires_at < now))
        cookie, expires_at = _SESSION_PREFIX + secrets.token_urlsafe(32), now + timedelta(hours=hours)
        self._session.add(
            SessionRow(hash=_hash(cookie), owner=row.owner, token_id=row.id, created_at=now, expires_at=expires_at)
        )
        self._session.flush()
        return SignedIn(caller=_caller(row), secret=cookie, expires_at=expires_at)

    def sign_out(self, cookie: str) -> None:
        self._session.execute(delete(SessionRow).where(SessionRow.hash == _hash(cookie)))

    def _by_token(self, secret: str) -> Caller:
        row = self._find_token(secret)
        if row is None:
            raise BadCredentials
        return _caller(row)

    def _find_token(self, secret: str) -> TokenRow | None:
        hashed = _hash(secret)
        row = self._session.scalar(select(TokenRow).where(TokenRow.hash == hashed, TokenRow.revoked_at.is_(None)))
        return row if row is not None and hmac.compare_digest(row.hash, hashed) else None

    def _by_cookie(self, cookie: str) -> Caller | None:
        hashed = _hash(cookie)
        found = self._session.execute(
            select(SessionRow, TokenRow)
            .join(TokenRow, TokenRow.id == SessionRow.token_id)
            .where(SessionRow.hash == hashed, TokenRow.revoked_at.is_(None))
        ).one_or_none()
        if found is None or not hmac.compare_digest(found[0].hash, hashed):
            return None
        return None if found[0].expires_at < database_now(self._session) else _caller(found[1])


def bearer_secret(authorization: str) -> str:
    """The token in the header, however its scheme is spelt. Raises BadCredentials."""
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise BadCredentials
    return secret.strip()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _caller(row: TokenRow) -> Caller:
    return Caller(id=row.owner, role=cast(Role, row.role))  # a CHECK of the table allows no other text


def _token(row: TokenRow) -> Token:
    return Token(
        id=row.id,
        owner=row.owner,
        name=row.name,
        role=cast(Role, row.role),
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
