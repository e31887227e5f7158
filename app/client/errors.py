"""What the client raises.

NetAdaptError                 root; carries the fields of the service's problem+json
 ├─ ServiceUnreachable        nobody answers at the address
 ├─ UnexpectedAnswer          whoever answered does not speak this API, or a file arrived damaged
 ├─ BadRequest                400
 ├─ SignInNeeded              401
 ├─ Forbidden                 403
 ├─ NotFound                  404
 ├─ Conflict                  409
 ├─ TooLarge                  413
 ├─ UnsupportedFormat         415
 ├─ Invalid                   422
 ├─ TooManyRequests           429
 └─ ServiceFailed             500 and above
"""

from collections.abc import Mapping
from typing import Any


class NetAdaptError(Exception):
    """`problem` is the service's answer (RFC 9457); the client's own failures have `status` None."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(problem)
        self.problem = dict(problem)

    @property
    def type(self) -> str:
        return str(self.problem.get("type", "about:blank"))

    @property
    def title(self) -> str:
        return str(self.problem.get("title", ""))

    @property
    def status(self) -> int | None:
        status = self.problem.get("status")
        return status if isinstance(status, int) else None

    @property
    def detail(self) -> str:
        return str(self.problem.get("detail") or "")

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The fields at fault: `{pointer | parameter | header, detail}`."""
        errors = self.problem.get("errors")
        return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []

    def __str__(self) -> str:
        text = self.detail or self.title or f"the service answered {self.status}"
        missing = [_field_text(error) for error in self.errors if str(error.get("detail", "")) not in text]
        return "; ".join([text, *missing])


class ServiceUnreachable(NetAdaptError):
    pass


class UnexpectedAnswer(NetAdaptError):
    pass


class BadRequest(NetAdaptError):
    pass


class SignInNeeded(NetAdaptError):
    pass


class Forbidden(NetAdaptError):
    pass


class NotFound(NetAdaptError):
    pass


class Conflict(NetAdaptError):
    pass


class TooLarge(NetAdaptError):
    pass


class UnsupportedFormat(NetAdaptError):
    pass


class Invalid(NetAdaptError):
    pass


class TooManyRequests(NetAdaptError):
    pass


class ServiceFailed(NetAdaptError):
    pass


BY_STATUS: Mapping[int, type[NetAdaptError]] = {
    400: BadRequest,
    401: SignInNeeded,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    415: UnsupportedFormat,
    422: Invalid,
    429: TooManyRequests,
}


def error_of(status: int, problem: Mapping[str, Any]) -> NetAdaptError:
    """The class of the tree that belongs to an answer of this status."""
    kind = BY_STATUS.get(status, ServiceFailed if status >= 500 else UnexpectedAnswer)
    return kind({"status": status, **problem})


def _field_text(error: Mapping[str, Any]) -> str:
    where = error.get("pointer") or error.get("parameter") or error.get("header")
    detail = str(error.get("detail", ""))
    return f"{where}: {detail}" if where else detail
