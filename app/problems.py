"""Which error is which problem (RFC 9457): one table, read along the class ancestry.

Nothing but this file knows HTTP statuses of errors. A worker that fails a job uses it too, so that a job's `error`
reads like the answer to a request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapt import errors as adapt_errors
from app.agent.records import AgentError, NameTaken, NotHeld, OtherSettings, ReadingTaskNotFound
from app.auth import AuthError, BadCredentials, Forbidden, SignInNeeded
from app.body_deadline import BodyTooSlow
from app.database import DatabaseError
from app.datasets.records import DatasetBuiltIn, DatasetError, DatasetInUse, DatasetNotFound, ThumbnailNotFound
from app.idempotency import FirstStillRunning, IdempotencyError, KeyRefused, KeyReused
from app.jobs.errors import JobError, JobNotFound, PartNotFound, ReferenceNotFound, TooManyJobs, WrongState
from app.json_body import BodyMalformed, BodyNotJson, BodyTooLarge, InvalidFields, json_pointer, pointer_of
from app.leases import LeaseLost
from app.models.records import ModelError, ModelInUse, ModelNotFound
from app.paging import CursorRefused
from app.problem_documents import problem_document
from app.quotas import JobTimeExceeded, QuotaExceeded
from app.storage import BlobMissing, StorageError, StorageFull
from app.streams import RETRY_AFTER_S, TooManyStreams
from app.targets.records import TargetError, TargetHasNoTable, TargetInUse, TargetNotFound
from app.uploads import FieldRefused, MalformedUpload, UploadError, UploadTooLarge, WrongContentType
from app.webhooks.records import TooManyWebhooks, WebhookError, WebhookNotFound


@dataclass(frozen=True)
class Problem:
    status: int
    slug: str
    title: str


NOT_FOUND = Problem(404, "not-found", "Not found")
IN_USE = Problem(409, "in-use", "In use")
INVALID = Problem(422, "invalid-request", "The request is not valid")
TOO_LARGE = Problem(413, "too-large", "Too large")
MALFORMED = Problem(400, "malformed", "The request cannot be parsed")
WRONG_TYPE = Problem(415, "unsupported-media-type", "Unsupported media type")
INTERNAL = Problem(500, "internal", "Internal error")
INTERNAL_DETAIL = "this is a fault of the service; its log says more"

PROBLEMS: dict[type[Exception], Problem] = {
    AuthError: Problem(403, "forbidden", "Forbidden"),
    SignInNeeded: Problem(401, "sign-in-needed", "Sign-in needed"),
    BadCredentials: Problem(401, "bad-credentials", "Sign-in failed"),
    Forbidden: Problem(403, "forbidden", "Forbidden"),
    BodyMalformed: MALFORMED,
    BodyNotJson: WRONG_TYPE,
    BodyTooLarge: TOO_LARGE,
    BodyTooSlow: Problem(408, "request-timeout", "The request took too long"),
    TooManyStreams: Problem(429, "too-many-streams", "Too many open streams"),
    QuotaExceeded: Problem(403, "quota-exceeded", "Quota exceeded"),
    JobTimeExceeded: Problem(422, "job-time-exceeded", "The job ran too long"),
    InvalidFields: INVALID,
    CursorRefused: INVALID,
    UploadError: MALFORMED,
    MalformedUpload: MALFORMED,
    WrongContentType: WRONG_TYPE,
    UploadTooLarge: TOO_LARGE,
    FieldRefused: INVALID,
    StorageError: Problem(503, "storage-unavailable", "Storage unavailable"),
    StorageFull: Problem(503, "storage-full", "No room left"),
    BlobMissing: Problem(503, "file-missing", "A stored file is missing"),
    DatabaseError: Problem(503, "database-unavailable", "Database unavailable"),
    ModelError: INVALID,
    ModelNotFound: NOT_FOUND,
    ModelInUse: IN_USE,
    DatasetError: INVALID,
    DatasetNotFound: NOT_FOUND,
    DatasetInUse: IN_USE,
    DatasetBuiltIn: IN_USE,
    ThumbnailNotFound: NOT_FOUND,
    TargetError: INVALID,
    TargetNotFound: NOT_FOUND,
    TargetInUse: IN_USE,
    TargetHasNoTable: Problem(404, "no-measurements", "Nothing was measured yet"),
    AgentError: INVALID,
    NameTaken: Problem(409, "name-taken", "The name is taken"),
    OtherSettings: Problem(409, "other-settings", "The target measures with something else"),
    ReadingTaskNotFound: NOT_FOUND,
    NotHeld: Problem(409, "lease-lost", "Lease lost"),
    WebhookError: INVALID,
    WebhookNotFound: NOT_FOUND,
    TooManyWebhooks: Problem(409, "too-many-webhooks", "Too many webhooks"),
    IdempotencyError: INVALID,
    KeyRefused: INVALID,
    KeyReused: Problem(422, "idempotency-key-reused", "Idempotency-Key was used before"),
    FirstStillRunning: Problem(409, "first-request-running", "The first request is still running"),
    JobError: INVALID,
    JobNotFound: NOT_FOUND,
    PartNotFound: NOT_FOUND,
    ReferenceNotFound: NOT_FOUND,
    WrongState: Problem(409, "wrong-state", "Wrong state"),
    TooManyJobs: Problem(409, "too-many-jobs", "Too many jobs"),
    LeaseLost: Problem(409, "lease-lost", "Lease lost"),
    adapt_errors.AdaptError: Problem(422, "cannot-adapt", "The network cannot be adapted"),
    adapt_errors.NetworkRefused: Problem(422, "network-refused", "The network is refused"),
    adapt_errors.UnsupportedOperator: Problem(422, "unsupported-operator", "Unsupported operator"),
    adapt_errors.FormatRefused: Problem(415, "format-refused", "Not a format that is read here"),
    adapt_errors.DatasetRefused: Problem(422, "dataset-refused", "The data set is refused"),
    adapt_errors.NotEnoughData: Problem(422, "not-enough-data", "Not enough data"),
    adapt_errors.NoSuchLayer: Problem(422, "no-such-layer", "No such layer"),
    adapt_errors.BudgetUnreachable: Problem(422, "budget-unreachable", "Budget unreachable"),
    adapt_errors.ScheduleTooShort: Problem(422, "schedule-too-short", "The schedule ends before the budget"),
    adapt_errors.BudgetNotMet: Problem(422, "budget-not-met", "Budget not met"),
    adapt_errors.OriginalAccuracyTooLow: Problem(
        422, "original-accuracy-too-low", "The original's accuracy is too low"
    ),
    adapt_errors.TrainingDiverged: Problem(422, "training-diverged", "Training diverged"),
    adapt_errors.TableDoesNotCover: Problem(422, "table-does-not-cover", "The look-up table lacks entries"),
    adapt_errors.TableRefused: Problem(422, "table-refused", "The look-up table is refused"),
    adapt_errors.ReadingRefused: Problem(422, "reading-refused", "The reading is refused"),
    adapt_errors.MeasurementFailed: Problem(500, "measurement-failed", "Measurement failed"),
    adapt_errors.OutOfMemory: Problem(500, "out-of-memory", "Out of memory"),
    adapt_errors.DeviceAbsent: Problem(422, "device-absent", "The device is not there"),
    adapt_errors.PluginAbsent: Problem(422, "plugin-absent", "Not installed"),
    adapt_errors.PluginFailed: Problem(500, "plugin-failed", "An added part failed"),
    adapt_errors.ExtraAbsent: Problem(422, "extra-absent", "An extra is not installed"),
    adapt_errors.ClusterAway: Problem(503, "ray-away", "The Ray cluster is away"),
    adapt_errors.ProposalFailed: Problem(500, "proposal-failed", "A proposal failed"),
    adapt_errors.Stopped: Problem(409, "stopped", "Stopped"),
}

BY_STATUS: dict[int, Problem] = {
    400: MALFORMED,
    401: PROBLEMS[SignInNeeded],
    403: PROBLEMS[Forbidden],
    404: NOT_FOUND,
    405: Problem(405, "method-not-allowed", "Method not allowed"),
    406: Problem(406, "not-acceptable", "Not acceptable"),
    409: PROBLEMS[WrongState],
    408: PROBLEMS[BodyTooSlow],
    413: TOO_LARGE,
    414: Problem(414, "address-too-long", "Address too long"),
    415: WRONG_TYPE,
    422: INVALID,
    429: Problem(429, "too-many-requests", "Too many requests"),
    431: Problem(431, "headers-too-large", "Headers too large"),
    503: PROBLEMS[StorageError],
}


def find_problem(error: Exception) -> Problem | None:
    """The entry of the nearest class that has one; None for what nobody foresaw."""
    return next((PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS), None)


def problem_of(error: Exception) -> dict[str, Any]:
    """The problem document of an error. What nobody foresaw is told without its text: that is for the log only."""
    problem = find_problem(error)
    if problem is None:
        return problem_document(INTERNAL.slug, INTERNAL.title, INTERNAL.status, INTERNAL_DETAIL)
    return problem_document(problem.slug, problem.title, problem.status, str(error), errors=fields_at_fault(error))


def headers_of(error: Exception) -> Mapping[str, str]:
    """What a client should do, in the answer's headers."""
    match error:
        case TooManyStreams():
            return {"Retry-After": str(RETRY_AFTER_S)}
        case BodyTooSlow():
            return {"Connection": "close"}  # whatever still comes is not read
    return {}


def fields_at_fault(error: Exception) -> Sequence[dict[str, str]]:
    """Where in the request the fault lies, as far as the error says."""
    match error:
        case InvalidFields():
            return error.fields
        case FieldRefused() | ReferenceNotFound():
            return [{"pointer": error.pointer, "detail": error.why}]
        case IdempotencyError():
            return [{"header": "Idempotency-Key", "detail": str(error)}]
        case CursorRefused():
            return [{"parameter": "cursor", "detail": str(error)}]
        case adapt_errors.NoSuchLayer():
            return [
                {"pointer": json_pointer("settings", *place), "detail": error.why(pattern, hint)}
                for place, pattern, hint in error.faults
            ]
        case adapt_errors.ReadingRefused():
            return [{"pointer": pointer_of(error.where), "detail": error.why}]
        case adapt_errors.BudgetUnreachable():
            return [{"pointer": f"/budget/{error.resource}", "detail": str(error)}]
        case adapt_errors.ScheduleTooShort():
            return [{"pointer": "/settings/schedule", "detail": str(error)}]
        case BodyNotJson() | WrongContentType():
            return [{"header": "Content-Type", "detail": str(error)}]
    return ()
