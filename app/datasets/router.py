"""/v1/datasets."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.answers import IdempotencyKey, json_response, keyed_request
from app.datasets.schemas import DatasetListing, DatasetOut, ReportOut
from app.datasets.service import DatasetService, IntakeLimits
from app.dependencies import CallerDep, Cursor, Limit, Services, ServicesDep, in_reader
from app.file_answers import names_etag
from app.idempotency import Answer, KeyedRequest, answer_once
from app.newest_first import page_start
from app.paging import listing
from app.records import Caller
from app.uploads import Form, FormShape, receive_form, upload_limits

PATH = "/v1/datasets"
SHAPE = FormShape(files=frozenset({"file"}), fields=frozenset({"name"}))
FILES = (
    ".npz with x_train, y_train, optionally x_val, y_val, x_test, y_test (NHWC uint8); zip or tar (plain, or packed by "
    "gzip, bzip2, xz or zstd) of one folder per class, perhaps below train/, val/ and test/ (JPEG, PNG, WebP, BMP, "
    "GIF, TIFF, PPM); .parquet with image bytes and label"
)
_FILE = {"type": "string", "format": "binary", "description": FILES}
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": _FILE, "name": {"type": "string", "minLength": 1, "maxLength": 200}},
                }
            }
        },
    }
}

router = APIRouter(prefix=PATH, tags=["datasets"])


def dataset_service(services: Services) -> DatasetService:
    limits = IntakeLimits(reads=services.read_limits)
    return DatasetService(services.sessions, services.storage, services.scratch, limits, quotas=services.quotas)


@router.post(
    "",
    status_code=201,
    response_model=DatasetOut,
    responses={200: {"model": DatasetOut, "description": "The data set of the same bytes, which is there already."}},
    openapi_extra=FORM,
)
async def add_dataset(
    request: Request, services: ServicesDep, caller: CallerDep, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Labelled images. Large archives are `checking` until a worker has decoded them; jobs on them wait."""
    limits = upload_limits(services.settings.max_upload_bytes)
    async with receive_form(
        request.stream(), request.headers, shape=SHAPE, limits=limits, folder=services.scratch
    ) as form:
        keyed = keyed_request(request, caller, idempotency_key, file=form.file("file").sha256, fields=dict(form.fields))
        return await in_reader(services, _add, services, caller, form, keyed)


def _add(services: Services, caller: Caller, form: Form, keyed: KeyedRequest | None) -> JSONResponse:
    def store() -> Answer:
        dataset, new = dataset_service(services).store_upload(caller, form.file("file"), form.fields.get("name"))
        document = DatasetOut.of(dataset).model_dump(mode="json")
        return Answer(status=201 if new else 200, document=document, headers={"Location": f"{PATH}/{dataset.id}"})

    return json_response(answer_once(services.sessions, keyed, store))


@router.get("", response_model=DatasetListing)
def list_datasets(services: ServicesDep, caller: CallerDep, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """Newest first; the built-in one comes last."""
    page = dataset_service(services).list_datasets(caller, after=page_start(cursor, PATH), limit=limit)
    return listing(page, [DatasetOut.of(dataset) for dataset in page.items], PATH, {})


@router.get("/{dataset_id}")
def get_dataset(dataset_id: str, services: ServicesDep, caller: CallerDep) -> DatasetOut:
    return DatasetOut.of(dataset_service(services).get_dataset(caller, dataset_id))


@router.get("/{dataset_id}/report")
def get_report(dataset_id: str, services: ServicesDep, caller: CallerDep) -> ReportOut:
    """Counts per class and split, sizes, channel means, what was converted or left out, and links to thumbnails."""
    dataset, report = dataset_service(services).get_report(caller, dataset_id)
    return ReportOut.of(dataset, report, PATH)


@router.get(
    "/{dataset_id}/thumbnails/{number}",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, 304: {"description": "As named by If-None-Match."}},
)
def get_thumbnail(request: Request, dataset_id: str, number: int, services: ServicesDep, caller: CallerDep) -> Response:
    """The n-th image of the report's sample, counted from 0."""
    thumbnail = dataset_service(services).get_thumbnail(caller, dataset_id, number)
    etag = f'"{thumbnail.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    if names_etag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(thumbnail.png, media_type="image/png", headers=headers)


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(dataset_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """409 while a job uses it, and for the built-in one."""
    dataset_service(services).delete_dataset(caller, dataset_id)
    return Response(status_code=204)
