"""Multipart uploads, streamed: hashed, capped and written to a temporary file as they arrive, in constant memory.

Starlette's own `form()` parses everything before a limit can be named, and knows nothing of hashes.
"""

import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import anyio.to_thread
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.storage import StorageFull, room_needed

FILE_LIMIT = "max_upload_bytes"
DRAIN_BYTES = 64 * 1024 * 1024
"""How much of a refused body is still read: a client that is cut off in mid-send often never sees the answer."""


class UploadError(Exception):
    """Root of what is wrong with the form itself, whatever its files hold."""


class MalformedUpload(UploadError):
    """The body is no complete multipart/form-data."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"the multipart body cannot be parsed: {self.why}"


class WrongContentType(UploadError):
    def __init__(self, got: str | None, expected: str) -> None:
        super().__init__(got, expected)
        self.got, self.expected = got, expected

    def __str__(self) -> str:
        return f"content type {self.got or '(none)'} is not accepted here; send {self.expected}"


class UploadTooLarge(UploadError):
    """`what` is larger than `limit_bytes`; `setting` is the limit's name in /v1/info, "" for one that is fixed."""

    def __init__(self, what: str, limit_bytes: int, setting: str = "") -> None:
        super().__init__(what, limit_bytes, setting)
        self.what, self.limit_bytes, self.setting = what, limit_bytes, setting

    def __str__(self) -> str:
        named = f" (limit {self.setting})" if self.setting else ""
        return f"{self.what} is larger than the limit of {self.limit_bytes} bytes{named}"


class FieldRefused(UploadError):
    """One form field is missing, unknown, given twice or of the wrong form; `pointer` is its JSON pointer."""

    def __init__(self, pointer: str, why: str) -> None:
        super().__init__(pointer, why)
        self.pointer, self.why = pointer, why

    def __str__(self) -> str:
        return f"{self.pointer}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class UploadLimits:
    max_file_bytes: int
    max_field_bytes: int
    max_parts: int = 16


def upload_limits(max_file_bytes: int) -> UploadLimits:
    """For this service's forms: their text fields are names and short JSON (the largest: a job request)."""
    return UploadLimits(max_file_bytes=max_file_bytes, max_field_bytes=1024 * 1024)


@dataclass(frozen=True, kw_only=True)
class UploadedFile:
    """A file part, complete, at a temporary `path` that ends with the request. `filename` is only a label."""

    path: Path
    sha256: str
    bytes: int
    filename: str


@dataclass(frozen=True, kw_only=True)
class Form:
    files: Mapping[str, UploadedFile]
    fields: Mapping[str, str]

    def file(self, name: str) -> UploadedFile:
        """Raises FieldRefused when the part was not sent."""
        if name not in self.files:
            raise FieldRefused(f"/{name}", f"missing: send the file as the form's part {name!r}")
        return self.files[name]


@dataclass(frozen=True, kw_only=True)
class FormShape:
    """Which parts a form may have: `files` are written to disk, `fields` are short UTF-8 text."""

    files: frozenset[str]
    fields: frozenset[str]


@asynccontextmanager
async def receive_form(
    stream: AsyncIterator[bytes],
    headers: Mapping[str, str],
    *,
    shape: FormShape,
    limits: UploadLimits,
    folder: Path,
) -> AsyncIterator[Form]:
    """The form of a request body, its parts in any order; the files live as long as the block.

    `headers` are the request's, with lower-case lookup. No database session may be open around this: a slow
    client would hold it for minutes. Raises WrongContentType, MalformedUpload, UploadTooLarge, FieldRefused,
    StorageFull; in every case all temporary files are gone afterwards.
    """
    receiver = _Receiver(shape, limits, folder)
    try:
        try:
            receiver.open(_boundary(headers.get("content-type")))
            _check_declared_length(headers.get("content-length"), shape, limits)
            async for chunk in stream:
                # In a thread: hashing and disk writes of a large upload must not hold up every other request.
                await anyio.to_thread.run_sync(receiver.feed, chunk)
            form = receiver.finish()
        except (UploadError, StorageFull):
            await _drain(stream)
            raise
        yield form
    finally:
        receiver.discard()


def _boundary(content_type: str | None) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise WrongContentType(content_type, "multipart/form-data")
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # RFC 2046, section 5.1.1
        raise MalformedUpload("the Content-Type header names no valid boundary")
    return boundary


def _check_declared_length(content_length: str | None, shape: FormShape, limits: UploadLimits) -> None:
    if content_length is None or not content_length.isdecimal():
        return  # chunked: counted as it comes
    overhead = limits.max_parts * (limits.max_field_bytes + 8192)
    if int(content_length) > len(shape.files) * limits.max_file_bytes + overhead:
        raise UploadTooLarge("the upload", limits.max_file_bytes, FILE_LIMIT)


async def _drain(stream: AsyncIterator[bytes]) -> None:
    seen = 0
    async for chunk in stream:
        seen += len(chunk)
        if seen > DRAIN_BYTES:
            return


class _Part:
    """What is known of the part that is arriving."""

    def __init__(self, name: str, filename: str, file: IO[bytes] | None) -> None:
        self.name, self.filename, self.file = name, filename, file
        self.digest, self.size, self.text = hashlib.sha256(), 0, bytearray()


class _Receiver:
    """The callbacks of the push parser; they run in one thread at a time."""

    def __init__(self, shape: FormShape, limits: UploadLimits, folder: Path) -> None:
        self._shape, self._limits, self._folder = shape, limits, folder
        self._paths: list[Path] = []
        self._files: dict[str, UploadedFile] = {}
        self._fields: dict[str, str] = {}
        self._header_name, self._header_value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._part: _Part | None = None
        self._parts, self._ended = 0, False
        self._parser: MultipartParser | None = None

    def open(self, boundary: bytes) -> None:
        callbacks: Any = {  # the library's TypedDict wants positional-only callables
            "on_part_begin": self._begin_part,
            "on_header_field": self._take_header_name,
            "on_header_value": self._take_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": self._take_data,
            "on_part_end": self._close_part,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, chunk: bytes) -> None:
        if self._parser is None:
            raise RuntimeError("feed() before open()")
        try:
            with room_needed():
                self._parser.write(chunk)
        except MultipartParseError as error:
            raise MalformedUpload(str(error)) from error

    def finish(self) -> Form:
        if not self._ended:
            raise MalformedUpload("it ends before its closing boundary")
        return Form(files=self._files, fields=self._fields)

    def discard(self) -> None:
        """Removes every temporary file; safe to call twice."""
        if self._part is not None and self._part.file is not None:
            with suppress(OSError):  # on a full disk closing fails once more, for what it could not write before
                self._part.file.close()
        self._part = None
        while self._paths:
            self._paths.pop().unlink(missing_ok=True)

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > self._limits.max_parts:
            raise MalformedUpload(f"more than {self._limits.max_parts} parts")
        self._headers = {}

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name, self._header_value = bytearray(), bytearray()

    def _open_part(self) -> None:
        name, filename = _names(self._headers)
        if name in self._files or name in self._fields:
            raise FieldRefused(_pointer(name), "given twice")
        if name in self._shape.files:
            if filename is None:
                raise FieldRefused(f"/{name}", f"has to be sent as a file (curl: -F {name}=@PATH)")
            handle, path = tempfile.mkstemp(prefix="upload-", dir=self._folder)
            self._paths.append(Path(path))
            self._part = _Part(name, filename, os.fdopen(handle, "wb"))
        elif name in self._shape.fields:
            self._part = _Part(name, "", None)
        else:
            known = ", ".join(sorted(self._shape.files | self._shape.fields))
            raise FieldRefused(_pointer(name), f"unknown field; known are {known}")

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        part = self._open()
        part.size += end - start
        limit = self._limits.max_field_bytes if part.file is None else self._limits.max_file_bytes
        if part.size > limit:
            raise UploadTooLarge(f"the form's part {part.name!r}", limit, "" if part.file is None else FILE_LIMIT)
        if part.file is None:
            part.text += data[start:end]
        else:
            part.digest.update(data[start:end])
            part.file.write(data[start:end])

    def _close_part(self) -> None:
        part, self._part = self._open(), None
        if part.file is None:
            try:
                self._fields[part.name] = part.text.decode("utf-8")
            except UnicodeDecodeError as error:
                raise FieldRefused(f"/{part.name}", "is not UTF-8 text") from error
            return
        part.file.close()
        self._files[part.name] = UploadedFile(
            path=self._paths[-1], sha256=part.digest.hexdigest(), bytes=part.size, filename=part.filename
        )

    def _end(self) -> None:
        self._ended = True

    def _open(self) -> _Part:
        if self._part is None:
            raise MalformedUpload("a part without headers")
        return self._part


def _pointer(name: str) -> str:
    """RFC 6901: ~ and / are escaped."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _names(headers: Mapping[bytes, bytes]) -> tuple[str, str | None]:
    """The part's name and its file name (None: not sent as a file), at most 255 characters each."""
    disposition, options = parse_options_header(headers.get(b"content-disposition", b"").decode("latin-1"))
    if disposition != b"form-data" or b"name" not in options:
        raise MalformedUpload("a part lacks its Content-Disposition header with a name")
    name = options[b"name"].decode("utf-8", "replace")[:255]
    filename = options.get(b"filename")
    return name, None if filename is None else filename.decode("utf-8", "replace")[-255:]
