"""JSON request bodies, read strictly: what no JSON document of ours may hold is refused before anything sees it."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from adapt.errors import presentable
from app.problem_documents import MAX_FIELD, MAX_FIELDS

M = TypeVar("M", bound=BaseModel)
MAX_DEPTH = 32
MAX_MEMBERS = 1000  # of one object; a hundred thousand unknown keys are half a second of nobody else being answered
PARSED_AT_ONCE_BYTES = 32 * 1024  # larger ones in a thread: no other request should wait for them
UNKNOWN_KEY = "is not known here"
LONGEST_NAME = 60  # characters of an unknown key that is compared with those that are known
MAX_INTEGER = 2**63 - 1  # what a database column holds
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class BodyMalformed(Exception):
    """The body cannot be parsed."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"the body is not JSON that is accepted here: {self.why}"


class BodyNotJson(Exception):
    def __init__(self, got: str) -> None:
        super().__init__(got)
        self.got = got

    def __str__(self) -> str:
        return f"content type {self.got or '(none)'} is not accepted here; send application/json"


class BodyTooLarge(Exception):
    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.limit_bytes = limit_bytes

    def __str__(self) -> str:
        return f"the body is larger than the limit of {self.limit_bytes} bytes"


class InvalidFields(Exception):
    """Parsed but wrong. `fields`: each has `detail` and one of `pointer`, `parameter`, `header`."""

    def __init__(self, fields: Sequence[dict[str, str]]) -> None:
        super().__init__(tuple(fields))
        self.fields = list(fields)

    def __str__(self) -> str:
        return "; ".join(f"{_place(field)}: {field['detail']}" for field in self.fields[:5])


async def read_json(request: Request, max_bytes: int) -> Any:
    """The document of a request. Raises BodyNotJson, BodyTooLarge, BodyMalformed."""
    body = await read_body(request, max_bytes)
    if len(body) <= PARSED_AT_ONCE_BYTES:
        return parse_json(body)
    return await run_in_threadpool(parse_json, body)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The bytes of a request that says to be JSON. Raises BodyNotJson, BodyTooLarge."""
    kind = request.headers.get("content-type", "")
    if kind.split(";")[0].strip().lower() != "application/json":
        raise BodyNotJson(kind)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise BodyTooLarge(max_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge(max_bytes)
    return bytes(body)


def parse_json(text: bytes | str) -> Any:
    """A document without duplicate keys, NaN, infinities, NUL characters, lone surrogates, integers of more than
    64 bit, objects of more than MAX_MEMBERS, or nesting beyond MAX_DEPTH. Raises BodyMalformed."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise BodyMalformed(str(error) or type(error).__name__) from error
    _check(document, 0)
    return document


def validate(model: type[M], document: Any, *, at: str = "") -> M:
    """The document as `model`. Raises InvalidFields with a JSON pointer (below `at`) for each fault."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_FIELDS]
        raise InvalidFields([_with_near_names(fault, model, at) for fault in faults(errors, at)]) from error


def _with_near_names(fault: dict[str, str], model: type[BaseModel], at: str) -> dict[str, str]:
    """What an unknown key may have been meant for: the same name elsewhere, or one like it where it stands."""
    place, _, key = fault["pointer"].removeprefix(at).rpartition("/")
    if fault["detail"] != UNKNOWN_KEY or len(key) > LONGEST_NAME:
        return fault
    names = _names_of(model)
    elsewhere = [f"{at}{other}/{key}" for other, those in names.items() if key in those]
    near = [*elsewhere, *get_close_matches(key, names.get(place, ()), n=2, cutoff=0.6)][:2]
    return {**fault, "detail": f"{UNKNOWN_KEY}; did you mean {' or '.join(near)}?"} if near else fault


@cache
def _names_of(model: type[BaseModel]) -> dict[str, list[str]]:
    """By the JSON pointer of each object that the model holds."""
    schema = model.model_json_schema()
    found: dict[str, list[str]] = {}

    def walk(part: Mapping[str, Any], pointer: str) -> None:
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rpartition("/")[2]]
        for name, inner in part.get("properties", {}).items():
            found.setdefault(pointer, []).append(name)
            walk(inner, f"{pointer}/{name}")
        for either in part.get("anyOf", ()):
            walk(either, pointer)

    walk(schema, "")
    return found


def faults(errors: Iterable[Mapping[str, Any]], at: str = "") -> list[dict[str, str]]:
    """Pydantic's errors with JSON pointers; the input itself is not repeated. Cut to what a problem tells of them here
    already, so that nothing holds a name of megabytes many times over."""
    return [
        {
            "pointer": presentable(at + json_pointer(*map(str, error["loc"])), MAX_FIELD),
            "detail": presentable(_words(error), MAX_FIELD),
        }
        for error in errors
    ]


def _words(error: Mapping[str, Any]) -> str:
    text = str(error["msg"])
    if error["type"] == "extra_forbidden":
        return UNKNOWN_KEY
    return text.removeprefix("Value error, ")


def _place(field: Mapping[str, str]) -> str:
    return field.get("pointer") or field.get("parameter") or field.get("header") or "the body"


def json_pointer(*parts: str) -> str:
    """RFC 6901."""
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)


def pointer_of(where: str) -> str:
    """A place as `adapt` spells it ("kernels[3].ms", "" for the whole) as a JSON pointer."""
    return json_pointer(*re.findall(r"[^.\[\]]+", where))


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise ValueError(f"an object has {len(pairs)} members; {MAX_MEMBERS} at most are taken")
    document = dict(pairs)
    if len(document) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} is given twice")
    return document


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise BodyMalformed(f"nested deeper than {MAX_DEPTH}")
    match value:
        case str():
            if _UNSTORABLE.search(value):
                raise BodyMalformed("a text holds a NUL character or half of a surrogate pair")
        case bool() | None:
            pass
        case int():
            if abs(value) > MAX_INTEGER:
                raise BodyMalformed("an integer has more than 64 bit")
        case float():
            if not math.isfinite(value):
                raise BodyMalformed("a number is too large")
        case list():
            for item in value:
                _check(item, depth + 1)
        case dict():
            for key, item in value.items():
                _check(key, depth + 1)
                _check(item, depth + 1)
