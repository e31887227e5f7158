"""Webhooks as HTTP shows and takes them."""

from typing import Annotated, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.timestamps import rfc3339
from app.webhooks.addresses import MAX_URL
from app.webhooks.records import Delivery, DeliveryState, Webhook, WebhookEvent

ALL_EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)
Events = Annotated[
    list[WebhookEvent],
    Field(min_length=1, max_length=20),
    AfterValidator(lambda events: list(dict.fromkeys(events))),
]


class WebhookIn(BaseModel):
    """`url` is sent a POST at each of `events` (all of them, when they are left out)."""

    model_config = ConfigDict(extra="forbid", strict=True)
    url: str = Field(min_length=1, max_length=MAX_URL)
    events: Events = list(ALL_EVENTS)


class WebhookOut(BaseModel):
    """`disabled_at`: when the receiver said 410 Gone; nothing is sent any more."""

    id: str
    url: str
    events: list[WebhookEvent]
    disabled_at: str | None
    created_at: str | None

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookOut":
        return cls(
            id=webhook.id,
            url=webhook.url,
            events=list(webhook.events),
            disabled_at=rfc3339(webhook.disabled_at),
            created_at=rfc3339(webhook.created_at),
        )


class NewWebhookOut(WebhookOut):
    """`secret` is what signatures are checked with; it is shown in this answer only."""

    secret: str


class DeliveryOut(BaseModel):
    """A message: `id` is its webhook-id header. `next_attempt_at` is null once it is delivered or given up."""

    id: str
    event: WebhookEvent
    job: str
    state: DeliveryState
    attempts: int
    next_attempt_at: str | None
    response_status: int | None
    error: str | None
    created_at: str | None
    delivered_at: str | None

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryOut":
        return cls(
            id=delivery.id,
            event=delivery.event,
            job=delivery.job_id,
            state=delivery.state,
            attempts=delivery.attempts,
            next_attempt_at=rfc3339(delivery.next_attempt_at),
            response_status=delivery.response_status,
            error=delivery.error,
            created_at=rfc3339(delivery.created_at),
            delivered_at=rfc3339(delivery.delivered_at),
        )


class WebhookListing(BaseModel):
    data: list[WebhookOut]
    next_cursor: str | None


class DeliveryListing(BaseModel):
    data: list[DeliveryOut]
    next_cursor: str | None
