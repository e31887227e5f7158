"""/v1/targets."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from adapt.latency.runtimes.choice import RuntimeChoice, usual_provider
from adapt.latency.table import MAX_CHARACTERS, table_from_document
from app.answers import IdempotencyKey, json_response, keyed_request
from app.dependencies import CallerDep, Cursor, Limit, Services, ServicesDep, in_reader
from app.idempotency import Answer, KeyedRequest, answer_once
from app.json_body import parse_json, read_body
from app.newest_first import page_start
from app.openapi import json_body
from app.paging import listing
from app.records import Caller
from app.targets.reading import read_target_in_child
from app.targets.records import Target
from app.targets.schemas import NewLocalTarget, NewTableTarget, NewTarget, TargetListing, TargetOut, read_new_target
from app.targets.service import TargetService

PATH = "/v1/targets"
router = APIRouter(prefix=PATH, tags=["targets"])


@router.post("", status_code=201, response_model=TargetOut, openapi_extra=json_body(NewTarget))
async def add_target(
    request: Request, services: ServicesDep, caller: CallerDep, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """A fixed look-up table (uploaded in the schema that `lookup-table` answers with, or taken from a target), or a
    worker's machine with a runtime of your choice, which is `checking` until a worker has tried it."""
    body = await read_body(request, MAX_CHARACTERS)
    if len(body) <= services.settings.max_body_bytes:
        document = await run_in_threadpool(parse_json, body)
    else:
        limits = services.read_limits.of_document()
        document = await in_reader(services, read_target_in_child, body, services.scratch, limits)
    keyed = keyed_request(request, caller, idempotency_key, body=document)
    return await run_in_threadpool(_add, services, caller, read_new_target(document), keyed)


def _add(
    services: Services, caller: Caller, new: NewTableTarget | NewLocalTarget, keyed: KeyedRequest | None
) -> JSONResponse:
    def store() -> Answer:
        target = _store(TargetService(services.sessions, services.quotas), caller, new)
        document = TargetOut.of(target).model_dump(mode="json")
        return Answer(status=201, document=document, headers={"Location": f"{PATH}/{target.id}"})

    return json_response(answer_once(services.sessions, keyed, store))


def _store(targets: TargetService, caller: Caller, new: NewTableTarget | NewLocalTarget) -> Target:
    if isinstance(new, NewLocalTarget):
        choice = RuntimeChoice(
            runtime=new.runtime,
            provider=new.provider or usual_provider(new.runtime),
            provider_options=new.provider_options,
            threads=new.threads,
            batch=new.batch,
            precision=new.precision,
        )
        return targets.add_local_target(caller, new.name, choice)
    if new.source is not None:
        return targets.copy_table_target(caller, new.name, new.source, new.model)
    return targets.add_table_target(caller, new.name, table_from_document(new.table))


@router.get("", response_model=TargetListing)
def list_targets(services: ServicesDep, caller: CallerDep, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """Newest first; `local` comes last."""
    page = TargetService(services.sessions).list_targets(caller, after=page_start(cursor, PATH), limit=limit)
    return listing(page, [TargetOut.of(target) for target in page.items], PATH, {})


@router.get("/{target_id}")
def get_target(target_id: str, services: ServicesDep, caller: CallerDep) -> TargetOut:
    return TargetOut.of(TargetService(services.sessions).get_target(caller, target_id))


@router.delete("/{target_id}", status_code=204)
def delete_target(target_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """With what was measured on it. 409 for `local`, and while a job uses it."""
    TargetService(services.sessions).delete_target(caller, target_id)
    return Response(status_code=204)


@router.get("/{target_id}/lookup-table")
def get_lookup_table(
    target_id: str,
    services: ServicesDep,
    caller: CallerDep,
    model: Annotated[str | None, Query(max_length=100, description="Only what a profile of this model found.")] = None,
) -> dict[str, Any]:
    """What was measured here of your networks, in the versioned schema that POST /v1/targets takes as `table`."""
    return TargetService(services.sessions).get_table(caller, target_id, model).to_document()
