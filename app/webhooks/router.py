"""/v1/webhooks."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from app.answers import IdempotencyKey, json_response, keyed_request
from app.database import reading, unit_of_work
from app.dependencies import CallerDep, Cursor, Limit, Services, ServicesDep
from app.idempotency import Answer, KeyedRequest, answer_once, keep_answer
from app.json_body import InvalidFields, read_json, validate
from app.newest_first import page_start
from app.openapi import json_body
from app.paging import listing
from app.records import Caller
from app.webhooks.addresses import AddressPolicy, UrlRefused
from app.webhooks.repository import WebhookRepository
from app.webhooks.schemas import (
    DeliveryListing,
    DeliveryOut,
    NewWebhookOut,
    WebhookIn,
    WebhookListing,
    WebhookOut,
)

PATH = "/v1/webhooks"
router = APIRouter(prefix=PATH, tags=["webhooks"])


@router.post("", status_code=201, response_model=NewWebhookOut, openapi_extra=json_body(WebhookIn))
async def add_webhook(
    request: Request, services: ServicesDep, caller: CallerDep, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """An address that is told of the end of your jobs, signed with a secret that is shown this once."""
    document = await read_json(request, services.settings.max_body_bytes)
    asked = validate(WebhookIn, document)
    keyed = keyed_request(request, caller, idempotency_key, body=document)
    return await run_in_threadpool(_add, services, caller, asked, keyed)


def _add(services: Services, caller: Caller, asked: WebhookIn, keyed: KeyedRequest | None) -> JSONResponse:
    settings = services.settings

    def store() -> Answer:
        try:
            url = AddressPolicy(settings.webhook_allowed_networks).check_url(asked.url)
        except UrlRefused as error:
            raise InvalidFields([{"pointer": "/url", "detail": str(error)}]) from error
        with unit_of_work(services.sessions) as session:
            webhook, secret = WebhookRepository(session).add_webhook(
                caller, url, asked.events, limit=settings.max_webhooks
            )
            document = NewWebhookOut(**WebhookOut.of(webhook).model_dump(), secret=secret).model_dump(mode="json")
            answer = Answer(status=201, document=document, headers={"Location": f"{PATH}/{webhook.id}"})
            keep_answer(session, keyed, answer)
        return answer

    return json_response(answer_once(services.sessions, keyed, store))


@router.get("", response_model=WebhookListing)
def list_webhooks(services: ServicesDep, caller: CallerDep, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """Newest first."""
    with reading(services.sessions) as session:
        page = WebhookRepository(session).list_webhooks(caller, after=page_start(cursor, PATH), limit=limit)
    return listing(page, [WebhookOut.of(webhook) for webhook in page.items], PATH, {})


@router.get("/{webhook_id}")
def get_webhook(webhook_id: str, services: ServicesDep, caller: CallerDep) -> WebhookOut:
    with reading(services.sessions) as session:
        return WebhookOut.of(WebhookRepository(session).get_webhook(caller, webhook_id))


@router.delete("/{webhook_id}", status_code=204)
def delete_webhook(webhook_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """With its messages; what was not delivered yet never is."""
    with unit_of_work(services.sessions) as session:
        WebhookRepository(session).delete_webhook(caller, webhook_id)
    return Response(status_code=204)


@router.get("/{webhook_id}/deliveries", response_model=DeliveryListing)
def list_deliveries(
    webhook_id: str, services: ServicesDep, caller: CallerDep, cursor: Cursor = None, limit: Limit = 50
) -> dict[str, Any]:
    """What was sent, is to be sent, or was given up; newest first."""
    path = f"{PATH}/{webhook_id}/deliveries"
    with reading(services.sessions) as session:
        start = page_start(cursor, path)
        page = WebhookRepository(session).list_deliveries(caller, webhook_id, after=start, limit=limit)
    return listing(page, [DeliveryOut.of(delivery) for delivery in page.items], path, {})
