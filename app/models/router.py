"""/v1/models."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.answers import IdempotencyKey, json_response, keyed_request
from app.dependencies import CallerDep, Cursor, Limit, Services, ServicesDep, in_reader
from app.idempotency import Answer, KeyedRequest, answer_once
from app.models.schemas import ModelListing, ModelOut
from app.models.service import ModelFields, ModelService
from app.newest_first import page_start
from app.paging import listing
from app.records import Caller
from app.uploads import Form, FormShape, receive_form, upload_limits

PATH = "/v1/models"
SHAPE = FormShape(files=frozenset({"file"}), fields=frozenset({"name", "normalization", "classes", "architecture"}))
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": ".pt2, .onnx or .safetensors"},
                        "name": {"type": "string", "minLength": 1, "maxLength": 200},
                        "normalization": {
                            "type": "string",
                            "description": 'JSON {"mean": [..], "std": [..]} on pixel / 255; default: that of the '
                            "architecture's published weights, or ImageNet's for three channels, 0.5 for others",
                        },
                        "classes": {"type": "string", "description": "JSON list of names, in the network's order"},
                        "architecture": {
                            "type": "string",
                            "minLength": 1,
                            "description": "of a .safetensors state_dict: a zoo name (GET /v1/architectures)",
                        },
                    },
                }
            }
        },
    }
}

router = APIRouter(prefix=PATH, tags=["models"])


def model_service(services: Services) -> ModelService:
    return ModelService(
        services.sessions, services.storage, services.scratch, services.read_limits, quotas=services.quotas
    )


@router.post(
    "",
    status_code=201,
    response_model=ModelOut,
    responses={200: {"model": ModelOut, "description": "The model of the same upload, which is there already."}},
    openapi_extra=FORM,
)
async def add_model(
    request: Request, services: ServicesDep, caller: CallerDep, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """A trained network. 201 once structure, operators, shapes, weights and costs are read; its channel groups come
    from a worker moments later."""
    limits = upload_limits(services.settings.max_upload_bytes)
    async with receive_form(
        request.stream(), request.headers, shape=SHAPE, limits=limits, folder=services.scratch
    ) as form:
        keyed = keyed_request(request, caller, idempotency_key, file=form.file("file").sha256, fields=dict(form.fields))
        return await in_reader(services, _add, services, caller, form, keyed)


def _add(services: Services, caller: Caller, form: Form, keyed: KeyedRequest | None) -> JSONResponse:
    def store() -> Answer:
        model, new = model_service(services).store_upload(caller, form.file("file"), ModelFields(**form.fields))
        document = ModelOut.of(model).model_dump(mode="json")
        return Answer(status=201 if new else 200, document=document, headers={"Location": f"{PATH}/{model.id}"})

    return json_response(answer_once(services.sessions, keyed, store))


@router.get("", response_model=ModelListing)
def list_models(services: ServicesDep, caller: CallerDep, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """Newest first."""
    page = model_service(services).list_models(caller, after=page_start(cursor, PATH), limit=limit)
    return listing(page, [ModelOut.of(model) for model in page.items], PATH, {})


@router.get("/{model_id}")
def get_model(model_id: str, services: ServicesDep, caller: CallerDep) -> ModelOut:
    return ModelOut.of(model_service(services).get_model(caller, model_id))


@router.delete("/{model_id}", status_code=204)
def delete_model(model_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """409 while a job uses it."""
    model_service(services).delete_model(caller, model_id)
    return Response(status_code=204)
