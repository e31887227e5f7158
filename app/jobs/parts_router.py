"""What lies within a job: its events, iterations, proposals, checkpoints and their files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.sse import EventSourceResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from app.database import reading
from app.dependencies import (
    CallerDep,
    Cursor,
    HeldStream,
    Limit,
    Services,
    ServicesDep,
    is_still_allowed,
    wants_stream,
)
from app.file_answers import file_response
from app.jobs.csv_files import ITERATION_COLUMNS, MEDIA_TYPE, PAGE, PROPOSAL_COLUMNS, all_items, csv_lines
from app.jobs.documents import (
    checkpoint_document,
    event_document,
    iteration_document,
    proposal_document,
)
from app.jobs.events_stream import stream_events
from app.jobs.history import JobHistory
from app.jobs.operator_latency import operator_latency
from app.jobs.records import Proposal
from app.jobs.schemas import (
    CheckpointListing,
    EventListing,
    IterationListing,
    OperatorLatencyOut,
    ProposalFieldsListing,
    ProposalListing,
    ProposalOut,
)
from app.json_answers import LongAnswer
from app.json_body import InvalidFields
from app.paging import MAX_PROPOSALS_PAGE, Page, decode_cursor, listing, read_number
from app.records import Caller, FileFormat

T = TypeVar("T")
LARGEST = 2**31 - 1
router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])
Form = Annotated[Literal["json", "csv"], Query(description="csv gives all rows.")]
Number = Annotated[int, Path(ge=0, le=LARGEST)]
ProposalLimit = Annotated[int, Query(ge=1, le=MAX_PROPOSALS_PAGE)]
Fields = Annotated[
    str | None,
    # No length of its own: an address as a whole has one, and 414 is its answer.
    Query(description="In JSON: only these of a proposal, commas between. `kept` is most of its bytes."),
]
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "The range asked for."},
    304: {"description": "Not changed (If-None-Match)."},
}


@router.get("/events", response_model=EventListing, responses=_STREAM, dependencies=[HeldStream])
async def list_events(
    job_id: str,
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    after: Annotated[int, Query(ge=0, le=LARGEST, description="Number of the last event seen.")] = 0,
    cursor: Cursor = None,
    limit: Limit = 50,
    last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=LARGEST)] = None,
) -> Response:
    """With `Accept: text/event-stream` a stream that ends after the last state; else a listing."""
    if not wants_stream(request):
        return await run_in_threadpool(_event_listing, services, caller, request.url.path, job_id, after, cursor, limit)
    start = after if last_event_id is None else last_event_id
    allowed = partial(is_still_allowed, request, services)
    stream = await stream_events(services.sessions, caller, job_id, after=start, allowed=allowed)
    return EventSourceResponse(stream, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


@router.get("/iterations", response_model=IterationListing, responses=_CSV)
def list_iterations(
    job_id: str,
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    cursor: Cursor = None,
    limit: Limit = 50,
    format: Form = "json",  # noqa: A002 (the parameter's public name)
) -> Response:
    def page_after(after: int, size: int) -> Page[Any]:
        with reading(services.sessions) as session:
            return JobHistory(session).list_iterations(caller, job_id, after=after, limit=size)

    if format == "csv":
        return _csv(f"{job_id}-iterations", ITERATION_COLUMNS, page_after, iteration_document)
    return _json(request, cursor, limit, page_after, iteration_document)


@router.get("/proposals", response_model=ProposalListing | ProposalFieldsListing, responses=_CSV)
def list_proposals(
    job_id: str,
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    cursor: Cursor = None,
    limit: ProposalLimit = 50,
    format: Form = "json",  # noqa: A002
    fields: Fields = None,
) -> Response:
    """Everything that the search looked at."""
    shown = _Shown(services, caller, job_id, None)
    if format == "csv":
        return shown.csv(f"{job_id}-proposals")
    return shown.json(request, cursor, limit, fields)


@router.get("/iterations/{iteration}/proposals", response_model=ProposalListing | ProposalFieldsListing, responses=_CSV)
def list_proposals_of_iteration(
    job_id: str,
    iteration: Number,
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    cursor: Cursor = None,
    limit: ProposalLimit = 50,
    format: Form = "json",  # noqa: A002
    fields: Fields = None,
) -> Response:
    shown = _Shown(services, caller, job_id, iteration)
    if format == "csv":
        return shown.csv(f"{job_id}-{iteration}-proposals")
    return shown.json(request, cursor, limit, fields)


@router.get("/checkpoints", response_model=CheckpointListing)
def list_checkpoints(
    job_id: str, request: Request, services: ServicesDep, caller: CallerDep, cursor: Cursor = None, limit: Limit = 50
) -> Response:
    def page_after(after: int, size: int) -> Page[Any]:
        with reading(services.sessions) as session:
            return JobHistory(session).list_checkpoints(caller, job_id, after=after, limit=size)

    return _json(request, cursor, limit, page_after, checkpoint_document)


@router.get("/latency")
def get_operator_latency(job_id: str, services: ServicesDep, caller: CallerDep) -> OperatorLatencyOut:
    """Where the time goes, before and now, by kind of operator: predicted from what was measured of the network."""
    with reading(services.sessions) as session:
        return operator_latency(session, caller, job_id)


@router.get("/checkpoints/{checkpoint}/file", response_class=StreamingResponse, responses=_FILE)
@router.head("/checkpoints/{checkpoint}/file", include_in_schema=False)
def get_checkpoint_file(
    job_id: str,
    checkpoint: Annotated[
        str, Path(max_length=20, description='An iteration, "0" for the original, "final" or "uniform".')
    ],
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    format: FileFormat,  # noqa: A002
) -> Response:
    """The same bytes whenever they are asked for; the ETag is their sha256."""
    with reading(services.sessions) as session:
        file = JobHistory(session).get_checkpoint_file(caller, job_id, checkpoint, format)
    return file_response(
        request, services.storage, sha256=file.sha256, size=file.bytes, filename=f"{job_id}-{checkpoint}.{format}"
    )


def _event_listing(
    services: Services, caller: Caller, path: str, job_id: str, after: int, cursor: str | None, limit: int
) -> JSONResponse:
    filters = {"after": after}
    start = after if cursor is None else read_number(decode_cursor(cursor, path, filters))
    with reading(services.sessions) as session:
        _, page = JobHistory(session).list_events(caller, job_id, after=start, limit=limit, unread=True)
    return LongAnswer(listing(page, [event_document(event) for event in page.items], path, filters))


@dataclass(frozen=True)
class _Shown:
    """Proposals of one iteration or of all, as a listing or a file."""

    services: Services
    caller: Caller
    job_id: str
    iteration: int | None

    def csv(self, name: str) -> StreamingResponse:
        return _csv(name, PROPOSAL_COLUMNS, self._page_after, proposal_document)

    def json(self, request: Request, cursor: str | None, limit: int, fields: str | None) -> LongAnswer:
        if fields is None:
            return _json(request, cursor, limit, self._page_after, proposal_document)
        names = _named(fields)

        def page_after(after: int, size: int) -> Page[dict[str, Any]]:
            with reading(self.services.sessions) as session:
                return JobHistory(session).list_fields_unread(
                    self.caller, self.job_id, names, after=after, limit=size, iteration=self.iteration
                )

        return _json(request, cursor, limit, page_after, lambda document: document)

    def _page_after(self, after: int, size: int) -> Page[Proposal]:
        with reading(self.services.sessions) as session:
            return JobHistory(session).list_proposals(
                self.caller, self.job_id, after=after, limit=size, iteration=self.iteration
            )


def _named(asked: str) -> Sequence[str]:
    """Raises InvalidFields."""
    names = asked.split(",")
    if unknown := [name for name in names if name not in ProposalOut.model_fields]:
        detail = f"a proposal has no {unknown[0]!r}; it has {', '.join(ProposalOut.model_fields)}"
        raise InvalidFields([{"parameter": "fields", "detail": detail}])
    return names


def _json(
    request: Request,
    cursor: str | None,
    limit: int,
    page_after: Callable[[int, int], Page[T]],
    document: Callable[[T], dict[str, Any]],
) -> LongAnswer:
    path = request.url.path
    start = 0 if cursor is None else read_number(decode_cursor(cursor, path, {}))
    page = page_after(start, limit)
    return LongAnswer(listing(page, [document(item) for item in page.items], path, {}))


def _csv(
    name: str,
    columns: tuple[str, ...],
    page_after: Callable[[int, int], Page[T]],
    document: Callable[[T], dict[str, Any]],
) -> StreamingResponse:
    first = page_after(0, PAGE)  # what is not there has to be said before the answer begins
    lines = csv_lines(columns, (document(item) for item in all_items(first, page_after)))
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(lines, media_type=MEDIA_TYPE, headers=headers)
