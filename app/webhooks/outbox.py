"""Messages from the moment they are written to the moment they are delivered or given up. Never commits.

A claim is a lease: it puts the next attempt as far off as this one may last, so a message whose sender died is due
again by itself. `attempts` is the fence: whoever claims counts it up, and only the holder of the last count may write
what came of it.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.orm import Session

from app.database import database_now
from app.jobs.documents import job_document
from app.jobs.records import Job
from app.records import new_id
from app.tables import WebhookDeliveryRow, WebhookRow
from app.timestamps import rfc3339
from app.webhooks.records import EVENT_OF, ClaimedDelivery, DeliveryState, Outcome

LONGEST_PAUSE = timedelta(days=8)
"""More than any setting allows: what is due later than that was put off before the clock was put back."""
DISABLED = "the receiver said 410 Gone, which ends the webhook"


class Outbox:
    """For whoever ends a job (`announce`), and for the process that sends."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def announce(self, job: Job) -> None:
        """A message for each webhook that its owner has for this end; in the transaction that ends the job."""
        event = EVENT_OF[job.state]
        # Locked against deletion only: the messages point at them until this transaction is committed.
        hooks = select(WebhookRow).where(WebhookRow.owner == job.owner, WebhookRow.disabled_at.is_(None))
        listening = [
            hook
            for hook in self._session.scalars(hooks.with_for_update(read=True, key_share=True))
            if event in hook.events
        ]
        if not listening:
            return
        now = database_now(self._session)
        message = {"type": event, "timestamp": rfc3339(now), "data": job_document(job)}
        body = json.dumps(message, allow_nan=False, separators=(",", ":"))
        for hook in listening:
            row = WebhookDeliveryRow(
                id=new_id("dlv"),
                owner=job.owner,
                webhook_id=hook.id,
                job_id=job.id,
                event=event,
                body=body,
                state="queued",
                attempts=0,
                next_attempt_at=now,
                created_at=now,
            )
            self._session.add(row)
        self._session.flush()

    def is_anything_due(self, *, not_of: Collection[str] = ()) -> bool:
        return self._session.scalar(select(WebhookDeliveryRow.id).where(_due(self._now(), not_of)).limit(1)) is not None

    def claim(self, *, lease_s: float, not_of: Collection[str] = ()) -> ClaimedDelivery | None:
        """The message that is due the longest, of owners beside `not_of`; None when there is none."""
        now = self._now()
        due = _due(now, not_of)
        first = select(WebhookDeliveryRow.id).where(due).order_by(WebhookDeliveryRow.next_attempt_at).limit(1)
        # SQLite ignores FOR UPDATE: there the unit of work holds the write lock already (app/database.py).
        claimed_id = self._session.scalar(first.with_for_update(skip_locked=True))
        if claimed_id is None:
            return None
        taken = update(WebhookDeliveryRow).where(WebhookDeliveryRow.id == claimed_id, due)
        values = {"attempts": WebhookDeliveryRow.attempts + 1, "next_attempt_at": now + timedelta(seconds=lease_s)}
        row = self._session.scalar(
            taken.values(values).returning(WebhookDeliveryRow).execution_options(populate_existing=True)
        )
        if row is None:
            return None
        hook = self._session.get_one(WebhookRow, row.webhook_id)
        return ClaimedDelivery(
            id=row.id,
            owner=row.owner,
            webhook_id=row.webhook_id,
            job_id=row.job_id,
            url=hook.url,
            secret=hook.secret,
            body=row.body,
            attempts=row.attempts,
            at=now,
        )

    def settle(self, claimed: ClaimedDelivery, outcome: Outcome, *, retry_s: Sequence[float]) -> DeliveryState | None:
        """Writes what came of an attempt: delivered, due again after the pause of `retry_s` that it is the turn of, or
        failed when there is none left. None: another process has it now, and nothing is written.

        A receiver that is gone ends its webhook, and all that still waits for it.
        """
        now = self._now()
        if outcome.gone:  # the webhook before its messages: in this order deleting one locks them, too
            self._session.execute(update(WebhookRow).where(_is(claimed)).values(disabled_at=now))
        state = _state_after(claimed, outcome, retry_s)
        values: dict[str, Any] = {
            "state": state,
            "response_status": outcome.status,
            "error": None if outcome.accepted else outcome.error or _refused(outcome.status),
            "delivered_at": now if outcome.accepted else None,
            "next_attempt_at": now + timedelta(seconds=retry_s[claimed.attempts - 1]) if state == "queued" else None,
        }
        own = and_(
            WebhookDeliveryRow.id == claimed.id,
            WebhookDeliveryRow.state == "queued",
            WebhookDeliveryRow.attempts == claimed.attempts,
        )
        settled = update(WebhookDeliveryRow).where(own).values(values).returning(WebhookDeliveryRow.id)
        written = self._session.execute(settled).first() is not None
        if outcome.gone:
            self._give_up_waiting(claimed.webhook_id)
        return state if written else None

    def forget_old(self, days: float) -> None:
        """Drops messages that were written so long ago, unless they still wait."""
        old = WebhookDeliveryRow.created_at < self._now() - timedelta(days=days)
        over = WebhookDeliveryRow.state != "queued"
        self._session.execute(delete(WebhookDeliveryRow).where(old, over))

    def _give_up_waiting(self, webhook_id: str) -> None:
        waiting = and_(WebhookDeliveryRow.webhook_id == webhook_id, WebhookDeliveryRow.state == "queued")
        given_up = update(WebhookDeliveryRow).where(waiting)
        self._session.execute(given_up.values(state="failed", error=DISABLED, next_attempt_at=None))

    def _now(self) -> datetime:
        return database_now(self._session)


def _due(now: datetime, not_of: Collection[str]) -> ColumnElement[bool]:
    return and_(
        WebhookDeliveryRow.state == "queued",
        or_(WebhookDeliveryRow.next_attempt_at <= now, WebhookDeliveryRow.next_attempt_at > now + LONGEST_PAUSE),
        WebhookDeliveryRow.owner.not_in(not_of),
    )


def _is(claimed: ClaimedDelivery) -> ColumnElement[bool]:
    return and_(WebhookRow.id == claimed.webhook_id, WebhookRow.disabled_at.is_(None))


def _state_after(claimed: ClaimedDelivery, outcome: Outcome, retry_s: Sequence[float]) -> DeliveryState:
    if outcome.accepted:
        return "delivered"
    return "failed" if outcome.gone or claimed.attempts > len(retry_s) else "queued"


def _refused(status: int | None) -> str:
    if status == 410:
        return DISABLED
    if status is not None and 300 <= status < 400:
        return f"it answered {status}; redirects are not followed"
    return f"it answered {status}; only 2xx says that it was taken"
