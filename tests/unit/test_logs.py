"""Lines of the log: one each, whatever stands in them."""

import json
import logging
import re
import subprocess
import sys
import threading

import pytest
from structlog.contextvars import bound_contextvars

from app.logs import make_formatter

FORGED = 'ann"}\n{"level": "critical", "message": "all is lost"}\r\n2026 CRITICAL x: forged\u2028\x1b[31m\x00\ud800'


@pytest.fixture(name="lines")
def _lines():
    """Logs with a formatter and gives back what came out."""

    def written(log_format, *arguments, error=None, **extra):
        record = logging.getLogger("a.b").makeRecord(
            "a.b",
            logging.WARNING,
            "file",
            1,
            arguments[0],
            arguments[1:],
            error and (type(error), error, None),
            extra=extra,
        )
        return make_formatter(log_format).format(record)

    return written


def test_a_line_is_one_json_object_with_the_ids_of_what_it_belongs_to(lines):
    with bound_contextvars(request_id="req_1", job_id="job_1", worker_id="host:long:1"):
        line = json.loads(lines("json", "%s claimed, attempt %d", "job_1", 2, seconds=1.5))
    assert list(line)[:4] == ["time", "level", "logger", "message"]
    assert line.pop("process")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("time"))
    assert line == {
        "level": "warning",
        "logger": "a.b",
        "message": "job_1 claimed, attempt 2",
        "request_id": "req_1",
        "job_id": "job_1",
        "worker_id": "host:long:1",
        "seconds": 1.5,
    }
    assert "request_id" not in json.loads(lines("json", "outside"))


def test_an_error_has_its_traceback_in_the_same_line(lines):
    line = json.loads(lines("json", "failed", error=ValueError(FORGED)))
    assert line["exception"].startswith("ValueError: ann")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_nobodys_text_makes_a_line_of_its_own(lines, log_format):
    for text in (lines(log_format, "name %s", FORGED), lines(log_format, "x", label=FORGED)):
        assert len(text.splitlines()) == 1
        assert text.isprintable()
        assert text.encode("ascii")
    with bound_contextvars(request_id=FORGED):
        assert len(lines(log_format, "x").splitlines()) == 1


def test_in_text_a_traceback_is_set_in_so_that_no_line_of_it_looks_like_one_of_ours(lines):
    first, *rest = lines("text", "failed", error=ValueError(FORGED)).splitlines()
    assert re.match(r"20\S+Z warning a\.b: failed process=\d+$", first)
    assert len(rest) > 1
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_an_endless_text_is_cut(lines):
    assert len(lines("json", "x" * 1_000_000)) < 30_000


def test_what_ends_a_process_or_a_thread_is_a_line_too():
    program = """
import threading
from app.logs import set_up_logging
set_up_logging("json", "info")
def fail(): raise RuntimeError("in a thread")
thread = threading.Thread(target=fail, name="helper")
thread.start(); thread.join()
import warnings
warnings.warn("beware")
raise RuntimeError("at the end")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert ended.returncode == 1
    assert [line["level"] for line in lines] == ["critical", "warning", "critical"]
    assert "helper" in lines[0]["message"]
    assert "beware" in lines[1]["message"]
    assert lines[2]["exception"].endswith("RuntimeError: at the end")


def test_what_is_below_the_level_is_not_written(capsys):
    from app.logs import set_up_logging

    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    before = (root.handlers[:], root.level)
    try:
        set_up_logging("text", "warning")
        logging.getLogger("a").info("not this")
        logging.getLogger("a").warning("but this")
    finally:
        root.handlers[:], root.level = before
        logging.captureWarnings(False)
        sys.excepthook, threading.excepthook = hooks
    assert "but this" in (written := capsys.readouterr().err)
    assert "not this" not in written
