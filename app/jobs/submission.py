"""The body of POST /v1/jobs: JSON, or a form with the network (and the data set) as files."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from starlette.requests import Request

from adapt.errors import MOST_WHERE, Refused, presentable
from adapt.zoo.catalogue import find_architecture
from app.database import reading
from app.datasets.records import DatasetInUse
from app.datasets.repository import DatasetRepository
from app.datasets.router import dataset_service
from app.dependencies import Services
from app.jobs.errors import ReferenceNotFound
from app.jobs.schemas import JobIn
from app.json_body import InvalidFields, parse_json, read_json, validate
from app.models.from_zoo import ZooModels
from app.models.records import Model, ModelInUse
from app.models.router import model_service
from app.models.service import ModelFields
from app.records import Caller
from app.uploads import Form, FormShape, UploadedFile, receive_form, upload_limits

FORM_FIELDS = frozenset({"request", "name", "normalization", "classes", "architecture"})
SHAPE = FormShape(files=frozenset({"model", "dataset"}), fields=FORM_FIELDS)
FORM_SCHEMA = {
    "type": "object",
    "required": ["request"],
    "properties": {
        "request": {"type": "string", "description": "JSON as in the other form, without what comes as a file"},
        "model": {"type": "string", "format": "binary", "description": "the network's file"},
        "dataset": {"type": "string", "format": "binary", "description": "the data set's file (.npz)"},
        "normalization": {"type": "string", "description": "as in POST /v1/models"},
        "classes": {"type": "string", "description": "as in POST /v1/models"},
        "architecture": {"type": "string", "description": "as in POST /v1/models"},
    },
}
_TO_COME = "upload"
"""Stands for the id of what comes as a file until it is stored."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """`form` holds the files; with them the request's ids are filled in when they are stored."""

    asked: JobIn
    form: Form | None

    def content(self) -> dict[str, object]:
        """Everything that the request says, as JSON values: for the Idempotency-Key."""
        files = {} if self.form is None else {name: file.sha256 for name, file in self.form.files.items()}
        fields = {} if self.form is None else dict(self.form.fields)
        return {"asked": self.asked.model_dump(mode="json"), "files": files, "fields": fields}


@asynccontextmanager
async def receive_submission(request: Request, services: Services) -> AsyncIterator[Submission]:
    """Parsed and checked; uploaded files live as long as the block. Raises as `receive_form`, `read_json` and
    `validate` do."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "multipart/form-data":
        document = await read_json(request, services.settings.max_body_bytes)
        yield Submission(asked=validate(JobIn, document), form=None)
        return
    limits = upload_limits(services.settings.max_upload_bytes)
    async with receive_form(
        request.stream(), request.headers, shape=SHAPE, limits=limits, folder=services.scratch
    ) as form:
        yield Submission(asked=_asked_in_form(form), form=form)


@contextmanager
def stored_files(services: Services, caller: Caller, submission: Submission) -> Iterator[JobIn]:
    """The request with the ids of its files, now stored, and of the model that a zoo name in it makes.

    When the block raises, what was new is removed again.
    """
    form, asked = submission.form, submission.asked
    models, datasets = model_service(services), dataset_service(services)
    new_model = new_dataset = None
    try:
        if form is not None and "model" in form.files:
            fields = ModelFields(**{name: text for name, text in form.fields.items() if name != "request"})
            with _named(form.file("model")) as file:
                model, is_new = models.store_upload(caller, file, fields)
            new_model = model.id if is_new else None
            asked = asked.model_copy(update={"model": model.id})
        if form is not None and "dataset" in form.files:
            with _named(form.file("dataset")) as file:
                dataset, is_new = datasets.store_upload(caller, file)
            new_dataset = dataset.id if is_new else None
            asked = asked.model_copy(update={"dataset": dataset.id})
        if find_architecture(asked.model) is not None:
            model, is_new = _of_zoo(services, caller, asked)
            new_model = model.id if is_new else None
            asked = asked.model_copy(update={"model": model.id})
        yield asked
    except BaseException:
        with suppress(ModelInUse, DatasetInUse):  # another request has found it and begun a job with it
            if new_model is not None:
                models.delete_model(caller, new_model)
            if new_dataset is not None:
                datasets.delete_dataset(caller, new_dataset)
        raise


@contextmanager
def _named(file: UploadedFile) -> Iterator[UploadedFile]:
    """What is refused of it is told with its name: two may have come."""
    try:
        yield file
    except Refused as error:
        error.file = presentable(file.filename, MOST_WHERE)
        raise


def _of_zoo(services: Services, caller: Caller, asked: JobIn) -> tuple[Model, bool]:
    """Raises ReferenceNotFound for the data set, InvalidFields where the architecture does not fit its images."""
    with reading(services.sessions) as session:
        dataset = DatasetRepository(session).find_dataset(caller, asked.dataset)
    if dataset is None:
        raise ReferenceNotFound("/dataset", f"there is no data set {asked.dataset}")
    zoo = ZooModels(services.sessions, services.storage, services.scratch, quotas=services.quotas)
    return zoo.make_model(caller, asked.model, dataset)


def _asked_in_form(form: Form) -> JobIn:
    if "request" not in form.fields:
        raise InvalidFields([{"pointer": "/request", "detail": "missing: the job request as JSON"}])
    document = parse_json(form.fields["request"])
    if isinstance(document, dict):
        for name in form.files:
            if name in document:
                detail = f"{name} is given twice: here and as a file"
                raise InvalidFields([{"pointer": f"/request/{name}", "detail": detail}])
            document[name] = _TO_COME
    return validate(JobIn, document, at="/request")
