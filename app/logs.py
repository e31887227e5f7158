"""The log of every process of the service: to standard error, one line an event, JSON but for a terminal.

What an event belongs to (request, job, task, worker) is bound to the context once and stands in every line written
there, also by libraries and by `adapt`, which know the standard library's logging only.
"""

import logging
import sys
import threading
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Literal

import structlog
from structlog.typing import Processor

from app.problem_documents import without_secrets

LogFormat = Literal["json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]
_QUIET = ("alembic", "asyncio", "httpcore", "httpx", "python_multipart", "uvicorn")
"""Whose lines below a warning tell nothing, or (what is sent where) more than belongs into a log."""
_FIRST = ("time", "level", "logger", "message")
_MAX_TEXT = 20_000  # of one field: a traceback, or a message with somebody's text in it
_Event = MutableMapping[str, Any]


def set_up_logging(log_format: LogFormat | Literal["auto"], level: LogLevel) -> None:
    """Once per process, at its start; "auto" is text for a terminal, and else JSON. What ends the process or a thread
    unforeseen is logged, too."""
    if log_format == "auto":
        log_format = "text" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(make_formatter(log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def make_formatter(log_format: LogFormat) -> logging.Formatter:
    render: Processor = structlog.processors.JSONRenderer() if log_format == "json" else _as_text
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", key="time"),
        _add_process,
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        _cut,
        _in_order,
    ]
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, render]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *before], processors=last
    )


def _add_process(_logger: object, _method: str, event: _Event) -> _Event:
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        event["process"] = record.process
    return event


def _cut(_logger: object, _method: str, event: _Event) -> _Event:
    """Without secrets of ours, wherever somebody put one (a path, say), and not for ever."""
    for key, value in event.items():
        if isinstance(value, str):
            text = without_secrets(value)
            event[key] = text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT // 2]} ... {text[-_MAX_TEXT // 2 :]}"
    return event


def _in_order(_logger: object, _method: str, event: _Event) -> _Event:
    return {key: event[key] for key in (*_FIRST, *(key for key in event if key not in _FIRST))}


def _as_text(_logger: object, _method: str, event: _Event) -> str:
    """For people. Whatever a text holds, it stays within its line; a traceback's lines are set in."""
    fields = dict(event)
    head = "{} {} {}: {}".format(*(_printable(str(fields.pop(key, "-"))) for key in _FIRST))
    trace = str(fields.pop("exception", "")).splitlines()
    rest = "".join(f" {key}={_printable(str(value))}" for key, value in fields.items())
    return "\n".join([head + rest, *(f"    {_printable(line)}" for line in trace)])


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None, where: str = "this process"
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger(__name__).critical("%s ends", where, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(arguments: "threading.ExceptHookArgs") -> None:
    if arguments.exc_value is not None and not issubclass(arguments.exc_type, SystemExit):
        name = "a thread" if arguments.thread is None else f"thread {arguments.thread.name}"
        _log_uncaught(arguments.exc_type, arguments.exc_value, arguments.exc_traceback, name)
