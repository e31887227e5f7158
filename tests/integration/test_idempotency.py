"""A key stands for one request: done once, answered the same, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from app.database import Sessions, database_now, unit_of_work
from app.idempotency import (
    GIVEN_UP_AFTER,
    KEPT_FOR,
    Answer,
    FirstStillRunning,
    KeyedRequest,
    KeyRefused,
    KeyReused,
    answer_once,
    hash_content,
    keep_answer,
)
from app.records import Caller
from app.tables import IdempotencyKeyRow
from tests.databases import DATABASES, migrated_sessions


@pytest.fixture(params=DATABASES)
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sessions]:
    with migrated_sessions(request.param, tmp_path) as made:
        yield made


def request(*, owner: str = "ann", path: str = "/v1/jobs", key: str = "k", content: str = "a") -> KeyedRequest:
    return KeyedRequest(
        caller=Caller(id=owner), method="POST", path=path, key=key, content_hash=hash_content(body=content)
    )


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Answer:
        self.calls += 1
        return Answer(status=202, document={"call": self.calls}, headers={"Location": f"/{self.calls}"})


def test_the_same_request_is_done_once_and_answered_the_same(sessions: Sessions) -> None:
    act = Counter()
    first = answer_once(sessions, request(), act)
    assert answer_once(sessions, request(), act) == first
    assert act.calls == 1


def test_a_request_without_a_key_is_done_each_time(sessions: Sessions) -> None:
    act = Counter()
    assert answer_once(sessions, None, act) != answer_once(sessions, None, act)


def test_keys_are_kept_apart_by_caller_and_path(sessions: Sessions) -> None:
    act = Counter()
    for each in (request(), request(owner="bob"), request(path="/v1/models"), request(key="other")):
        answer_once(sessions, each, act)
    assert act.calls == 4


def test_other_content_under_a_used_key_is_refused(sessions: Sessions) -> None:
    answer_once(sessions, request(), Counter())
    with pytest.raises(KeyReused, match="'k'"):
        answer_once(sessions, request(content="b"), Counter())


def test_a_second_request_while_the_first_runs_is_told_so(sessions: Sessions) -> None:
    def during_the_first() -> Answer:
        with pytest.raises(FirstStillRunning):
            answer_once(sessions, request(), Counter())
        return Answer(status=200, document=None, headers={})

    assert answer_once(sessions, request(), during_the_first).status == 200


def test_what_was_answered_with_the_deed_itself_outlives_the_process_that_did_it(sessions: Sessions) -> None:
    done = Answer(status=202, document={"id": "job_a"}, headers={})

    def act() -> Answer:
        with unit_of_work(sessions) as session:
            keep_answer(session, request(), done)
        raise SystemExit  # killed before it could say so

    with pytest.raises(SystemExit):
        answer_once(sessions, request(), act)
    assert answer_once(sessions, request(), Counter()) == done


def test_a_refusal_frees_the_key(sessions: Sessions) -> None:
    def refuse() -> Answer:
        raise LookupError("no")

    with pytest.raises(LookupError):
        answer_once(sessions, request(), refuse)
    assert answer_once(sessions, request(), Counter()).status == 202


@pytest.mark.parametrize(("answered", "age"), [(True, KEPT_FOR), (False, GIVEN_UP_AFTER)])
def test_old_keys_can_be_used_again(sessions: Sessions, answered: bool, age: object) -> None:
    answer_once(sessions, request(), Counter())
    with unit_of_work(sessions) as session:
        values = {"created_at": database_now(session) - age * 1.1}  # type: ignore[operator]
        if not answered:
            values |= {"status": None, "body": None}
        session.execute(update(IdempotencyKeyRow).values(values))
    act = Counter()
    answer_once(sessions, request(content="b"), act)
    assert act.calls == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "ä"])
def test_only_short_printable_keys_are_taken(sessions: Sessions, key: str) -> None:
    with pytest.raises(KeyRefused):
        answer_once(sessions, request(key=key), Counter())
