"""`netadapt` run in this process, as the entry point would, against made-up answers."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

from app import client as client_package
from app.cli import main

Answers = Callable[[httpx.Request], httpx.Response]


class Terminal:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.requests: list[httpx.Request] = []

    def run(self, *typed: str, answers: Answers | None = None) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""

        def handler(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return answers(request) if answers else pytest.fail(f"asked {request.url}")

        faked = partial(client_package.api.Client, transport=httpx.MockTransport(handler), sleep=lambda seconds: None)
        self.monkeypatch.setattr(client_package, "Client", faked)
        self.monkeypatch.setattr(sys, "argv", ["netadapt", *typed])
        with pytest.raises(SystemExit) as ended:
            main.run()
        out, err = self.capsys.readouterr()
        return int(ended.value.code or 0), out, err

    def is_one(self, columns: int) -> None:
        """From now on stdout and stderr are a terminal of this width."""
        self.monkeypatch.setenv("COLUMNS", str(columns))
        self.monkeypatch.setenv("TERM", "xterm-256color")
        for stream in (sys.stdout, sys.stderr):
            self.monkeypatch.setattr(stream, "isatty", lambda: True)


def always(body: Any, status: int = 200) -> Answers:
    return lambda _: httpx.Response(status, json=body)
