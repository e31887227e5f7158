"""A webhook and its messages as the service knows them. No rows, no HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from app.records import JobState

WebhookEvent = Literal["job.succeeded", "job.failed", "job.cancelled"]
DeliveryState = Literal["queued", "delivered", "failed"]

EVENT_OF: Mapping[JobState, WebhookEvent] = {
    "succeeded": "job.succeeded",
    "failed": "job.failed",
    "cancelled": "job.cancelled",
}
"""What is told of a job that has come to its last state."""


class WebhookError(Exception):
    """Root of what goes wrong with webhooks."""


class WebhookNotFound(WebhookError):
    """There is none with this id, or it is somebody else's."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(webhook_id)
        self.webhook_id = webhook_id

    def __str__(self) -> str:
        return f"there is no webhook {self.webhook_id}"


class TooManyWebhooks(WebhookError):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"there are {self.limit} webhooks already, which is the limit; delete one first"


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """As it is listed: the secret is shown once, when it is made. `disabled_at`: its receiver said 410 Gone then."""

    id: str
    owner: str
    url: str
    events: tuple[WebhookEvent, ...]
    disabled_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One message to one webhook. `next_attempt_at` is None once it is delivered or given up."""

    id: str
    event: WebhookEvent
    job_id: str
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    response_status: int | None
    error: str | None
    created_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ClaimedDelivery:
    """A message that one process sends now. `attempts` is its fence; `at` the database's time of the claim."""

    id: str
    owner: str
    webhook_id: str
    job_id: str
    url: str
    secret: str
    body: str
    attempts: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the receiver answered, or why it did not; exactly one of the two is there."""

    status: int | None = None
    error: str | None = None

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The receiver wants no more of it, ever."""
        return self.status == 410
