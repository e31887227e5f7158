"""`Idempotency-Key` on POST: a request that is sent again gets the first answer again, and nothing is done twice."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.database import Sessions, database_now, unit_of_work
from app.records import Caller
from app.tables import IdempotencyKeyRow

MAX_KEY = 255
KEPT_FOR = timedelta(hours=24)
GIVEN_UP_AFTER = timedelta(minutes=15)
"""A first request without an answer for so long died with its process: its key can be used again."""


class IdempotencyError(Exception):
    """Root of what goes wrong with idempotency keys."""


class KeyRefused(IdempotencyError):
    def __str__(self) -> str:
        return f"Idempotency-Key takes 1 to {MAX_KEY} printable ASCII characters"


class KeyReused(IdempotencyError):
    """The key came before, with other content."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"Idempotency-Key {self.key!r} was used for another request; take a new key for other content"


class FirstStillRunning(IdempotencyError):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"the first request with Idempotency-Key {self.key!r} is still running; ask again in a moment"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a POST answers: status, the headers beside Content-Type, and a JSON document."""

    status: int
    document: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class KeyedRequest:
    """`content_hash` stands for everything that the request says; see `hash_content`."""

    caller: Caller
    method: str
    path: str
    key: str
    content_hash: str


def hash_content(**parts: Any) -> str:
    """Of parsed content (JSON values; files by their sha256): two uploads of the same differ in their boundaries."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def answer_once(sessions: Sessions, request: KeyedRequest | None, act: Callable[[], Answer]) -> Answer:
    """What `act` answers, or what it answered when this key came first. None: a request without a key.

    When `act` raises, the key is free again: a refusal has changed nothing, and is found again by trying again. An
    `act` that must not be done twice keeps its answer itself, by `keep_answer`.

    Raises KeyRefused, KeyReused, FirstStillRunning.
    """
    if request is None:
        return act()
    if not (1 <= len(request.key) <= MAX_KEY and request.key.isascii() and request.key.isprintable()):
        raise KeyRefused
    if (known := _reserve(sessions, request)) is not None:
        return known
    try:
        answer = act()
    except BaseException:
        with unit_of_work(sessions) as session:
            unanswered = IdempotencyKeyRow.status.is_(None)
            session.execute(delete(IdempotencyKeyRow).where(*_this(request), unanswered))
        raise
    with unit_of_work(sessions) as session:
        keep_answer(session, request, answer)
    return answer


def keep_answer(session: Session, request: KeyedRequest | None, answer: Answer) -> None:
    """In the transaction that does what was asked: a process that dies right after it has answered all the same, and
    whoever asks again gets that answer. Never commits."""
    if request is None:
        return
    body = json.dumps(answer.document, allow_nan=False).encode()
    values = {"status": answer.status, "headers": dict(answer.headers), "body": body}
    session.execute(update(IdempotencyKeyRow).where(*_this(request)).values(values))


def _reserve(sessions: Sessions, request: KeyedRequest) -> Answer | None:
    """The first answer, or None when this is the first and the key is now taken."""
    try:
        with unit_of_work(sessions) as session:
            forget_old_keys(session)
            if (row := session.scalar(select(IdempotencyKeyRow).where(*_this(request)))) is not None:
                return _first_answer(row, request)
            row_values = {
                "owner": request.caller.id,
                "method": request.method,
                "path": request.path,
                "key": request.key,
                "content_hash": request.content_hash,
                "created_at": database_now(session),
            }
            session.execute(insert(IdempotencyKeyRow).values(row_values))
            return None
    except IntegrityError as error:  # another one came in between
        raise FirstStillRunning(request.key) from error


def _first_answer(row: IdempotencyKeyRow, request: KeyedRequest) -> Answer:
    if row.content_hash != request.content_hash:
        raise KeyReused(request.key)
    if row.status is None or row.body is None:
        raise FirstStillRunning(request.key)
    return Answer(status=row.status, document=json.loads(row.body), headers=row.headers or {})


def forget_old_keys(session: Session) -> None:
    now = database_now(session)
    session.execute(delete(IdempotencyKeyRow).where(IdempotencyKeyRow.created_at < now - KEPT_FOR))
    unanswered = IdempotencyKeyRow.status.is_(None)
    abandoned = delete(IdempotencyKeyRow).where(unanswered, IdempotencyKeyRow.created_at < now - GIVEN_UP_AFTER)
    session.execute(abandoned)


def _this(request: KeyedRequest) -> tuple[Any, ...]:
    return (
        IdempotencyKeyRow.owner == request.caller.id,
        IdempotencyKeyRow.method == request.method,
        IdempotencyKeyRow.path == request.path,
        IdempotencyKeyRow.key == request.key,
    )
