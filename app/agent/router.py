"""/v1/agent/tasks: what a device's agent may do, and nothing else is open to its token."""

import time
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from app.agent.records import Agent, HeldOrder, WhichFile
from app.agent.schemas import PATH, ClaimIn, FailureIn, ReadingTaskOut, ResultIn
from app.agent.service import AgentService
from app.dependencies import AgentCallerDep, HeldStream, ServicesDep
from app.file_answers import file_response
from app.json_body import read_json, validate
from app.openapi import json_body
from app.records import Caller

LOOK_S = 0.1
LONGEST_WAIT_S = 60
MAX_RESULT_BYTES = 4 * 1024 * 1024

router = APIRouter(prefix=PATH, tags=["agent"])
Lease = Annotated[int, Query(ge=1, le=2**31 - 1, description="`lease` of the task as it was handed out.")]


@router.post(
    "/claim",
    response_model=ReadingTaskOut,
    responses={204: {"description": "Nothing to measure yet; ask again."}},
    openapi_extra=json_body(ClaimIn),
    dependencies=[HeldStream],
)
async def claim(
    request: Request,
    services: ServicesDep,
    caller: AgentCallerDep,
    wait: Annotated[int, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for work.")] = 20,
) -> Response:
    """The next reading for this device, as soon as there is one. The first call makes the device a target.

    Whatever this device held before is free again. 409 while another process measures under this name.
    """
    asked = validate(ClaimIn, await read_json(request, services.settings.max_body_bytes))
    agents = AgentService(services.sessions, services.quotas)
    agent = agents.introduce(asked.name, asked.instance, asked.conditions, renews=asked.renews)
    held = await _wait_for_work(request, agents, caller, agent, wait)
    return Response(status_code=204) if held is None else JSONResponse(ReadingTaskOut.of(held).model_dump(mode="json"))


async def _wait_for_work(
    request: Request, agents: AgentService, caller: Caller, agent: Agent, wait: int
) -> HeldOrder | None:
    """Between two looks no database session is open. Work is not handed to a connection that is gone."""
    end = time.monotonic() + wait
    target_id = await run_in_threadpool(agents.check_in, caller, agent)
    while not await request.is_disconnected():
        held = await run_in_threadpool(agents.next_order, target_id, agent)
        if held is not None or time.monotonic() >= end:
            return held
        await anyio.sleep(LOOK_S)
    return None


@router.post("/{task_id}/renew", status_code=204)
def renew(task_id: str, services: ServicesDep, caller: AgentCallerDep, lease: Lease) -> Response:
    """The device is at work on it, and will say so again within seconds. 409 once the lease has ended."""
    AgentService(services.sessions).renew(caller, task_id, lease)
    return Response(status_code=204)


@router.get("/{task_id}/files/{which}", response_class=Response)
def get_file(
    task_id: str, which: WhichFile, request: Request, services: ServicesDep, caller: AgentCallerDep, lease: Lease
) -> Response:
    """A network that we wrote, for the device that holds the task."""
    sha256 = AgentService(services.sessions).file_of(caller, task_id, lease, which)
    size = services.storage.size(sha256)
    return file_response(request, services.storage, sha256=sha256, size=size, filename=which)


@router.put("/{task_id}/result", status_code=204, openapi_extra=json_body(ResultIn))
async def put_result(
    task_id: str, request: Request, services: ServicesDep, caller: AgentCallerDep, lease: Lease
) -> Response:
    """A reading, or why there is none. 409 for a second answer, or one after the lease ended; what is refused (422)
    may be sent again."""
    document = await read_json(request, MAX_RESULT_BYTES)
    await run_in_threadpool(_take, AgentService(services.sessions), caller, task_id, lease, document)
    return Response(status_code=204)


def _take(agents: AgentService, caller: Caller, task_id: str, lease: int, document: Any) -> None:
    if isinstance(document, dict) and "failed" in document:
        agents.fail(caller, task_id, lease, validate(FailureIn, document).failed)
    else:
        agents.answer(caller, task_id, lease, document)
