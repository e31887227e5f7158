"""The SQL about webhooks for their owners. Hands out records, never rows; never commits."""

from collections.abc import Collection
from typing import cast

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.database import database_now, take_turns
from app.newest_first import Position, behind
from app.paging import Page, cut_page, newest_first
from app.records import Caller, new_id
from app.tables import WebhookDeliveryRow, WebhookRow
from app.webhooks.records import (
    Delivery,
    DeliveryState,
    TooManyWebhooks,
    Webhook,
    WebhookEvent,
    WebhookNotFound,
)
from app.webhooks.signing import new_secret


class WebhookRepository:
    """Webhooks of the caller; somebody else's are not there."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add_webhook(
        self, caller: Caller, url: str, events: Collection[WebhookEvent], *, limit: int
    ) -> tuple[Webhook, str]:
        """The webhook and its secret, which is shown this once. Raises TooManyWebhooks."""
        take_turns(self._session, "webhooks of", caller.id)
        own = select(func.count()).select_from(WebhookRow).where(WebhookRow.owner == caller.id)
        if self._session.scalars(own).one() >= limit:
            raise TooManyWebhooks(limit)
        row = WebhookRow(
            id=new_id("whk"),
            owner=caller.id,
            url=url,
            secret=new_secret(),
            events=list(events),
            created_at=database_now(self._session),
        )
        self._session.add(row)
        self._session.flush()
        return _webhook(row), row.secret

    def get_webhook(self, caller: Caller, webhook_id: str) -> Webhook:
        """Raises WebhookNotFound, also for one that is somebody else's."""
        own = select(WebhookRow).where(WebhookRow.id == webhook_id, WebhookRow.owner == caller.id)
        if (row := self._session.scalar(own)) is None:
            raise WebhookNotFound(webhook_id)
        return _webhook(row)

    def list_webhooks(self, caller: Caller, *, after: Position | None, limit: int) -> Page[Webhook]:
        """Newest first."""
        rows = select(WebhookRow).where(
            WebhookRow.owner == caller.id, behind(WebhookRow.created_at, WebhookRow.id, after)
        )
        rows = rows.order_by(WebhookRow.created_at.desc(), WebhookRow.id.desc()).limit(limit + 1)
        found = [_webhook(row) for row in self._session.scalars(rows)]
        return cut_page(found, limit, lambda webhook: newest_first(webhook.created_at, webhook.id))

    def delete_webhook(self, caller: Caller, webhook_id: str) -> None:
        """With its messages: what was not delivered never is. Raises WebhookNotFound."""
        self.get_webhook(caller, webhook_id)
        self._session.execute(delete(WebhookRow).where(WebhookRow.id == webhook_id))

    def list_deliveries(self, caller: Caller, webhook_id: str, *, after: Position | None, limit: int) -> Page[Delivery]:
        """Newest first. Raises WebhookNotFound."""
        self.get_webhook(caller, webhook_id)
        table = WebhookDeliveryRow
        rows = select(table).where(table.webhook_id == webhook_id, behind(table.created_at, table.id, after))
        rows = rows.order_by(table.created_at.desc(), table.id.desc()).limit(limit + 1)
        found = [_delivery(row) for row in self._session.scalars(rows)]
        return cut_page(found, limit, lambda delivery: newest_first(delivery.created_at, delivery.id))


def _webhook(row: WebhookRow) -> Webhook:
    return Webhook(
        id=row.id,
        owner=row.owner,
        url=row.url,
        events=tuple(cast(list[WebhookEvent], row.events)),  # only ever written from such values
        disabled_at=row.disabled_at,
        created_at=row.created_at,
    )


def _delivery(row: WebhookDeliveryRow) -> Delivery:
    return Delivery(
        id=row.id,
        event=cast(WebhookEvent, row.event),
        job_id=row.job_id,
        state=cast(DeliveryState, row.state),  # a CHECK of the table allows no other text
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        response_status=row.response_status,
        error=row.error,
        created_at=row.created_at,
        delivered_at=row.delivered_at,
    )
