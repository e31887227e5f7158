"""What an agent takes for work: whatever else answers in JSON is no task, and the token goes nowhere else."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from app.agent.calls import AgentCalls
from app.client.errors import UnexpectedAnswer

FILE = {"sha256": "a", "url": "/v1/agent/tasks/tsk_1/files/candidate?lease=1"}
TASK = {"id": "tsk_1", "lease": 1, "lease_seconds": 12.0, "plan": {"minimum_pairs": 15, "newer": 1.0}}
TASK |= {"candidate": FILE, "reference": FILE}


@contextmanager
def service_that_answers(document: Any) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_task_is_taken_as_it_comes_whatever_a_newer_service_adds():
    newer = {**TASK, "color": "red"}
    with service_that_answers(newer) as address, AgentCalls(address, None) as calls:
        assert calls.claim({}, wait_s=0) == newer


@pytest.mark.parametrize(
    "document",
    [
        {"error": "log in first"},
        [],
        {**TASK, "lease": "1"},
        {**TASK, "plan": [15]},
        {**TASK, "plan": {"minimum_pairs": "15"}},
        {**TASK, "candidate": None},
        {**TASK, "reference": {**FILE, "url": "http://elsewhere.example/v1/agent/tasks/x"}},
        {**TASK, "reference": {**FILE, "url": "//elsewhere.example/v1/agent/tasks/x"}},
    ],
)
def test_what_is_no_task_may_pass_and_is_asked_for_again(document: Any):
    with (
        service_that_answers(document) as address,
        AgentCalls(address, "a-token") as calls,
        pytest.raises(UnexpectedAnswer),
    ):
        calls.claim({}, wait_s=0)
