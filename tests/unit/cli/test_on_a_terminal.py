"""What a terminal gets that a pipe does not, what a shell completes, and what every command has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import typer

from app.cli import completion, main
from tests.terminal import Terminal, always

ID = "job_0123456789abcdefghij"
LONG = "a name that somebody gave to a job without a thought of how wide a terminal is"
JOBS = {"data": [{"id": ID, "name": LONG, "state": "running", "budget": {"latency_ms": "60%"}}], "next_cursor": None}
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
HAVE_NO_ANSWER = {"serve", "worker", "agent"}
"""They run until they are ended."""


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    for name in ("NETADAPT_URL", "NETADAPT_TOKEN", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Terminal(monkeypatch, capsys)


def commands(group: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *path, name)
        if not hasattr(command, "commands"):
            yield " ".join([*path, name]), command


@pytest.mark.parametrize("columns", [60, 120, 200])
def test_a_table_is_as_wide_as_the_terminal_and_breaks_no_word(terminal: Terminal, columns: int) -> None:
    terminal.is_one(columns)
    code, out, _ = terminal.run("jobs", answers=always(JOBS))
    shown = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in out.splitlines()]
    assert code == 0
    assert max(map(len, shown)) <= columns
    words = {word for line in shown for word in line.split()}
    assert {ID, "running", "ITERATION" if columns > 60 else "NAME", *LONG.split()} <= words


def test_in_a_pipe_an_item_is_a_line_without_escapes_however_long(terminal: Terminal) -> None:
    code, out, _ = terminal.run("jobs", answers=always(JOBS))
    assert (code, len(out.splitlines())) == (0, 2)
    assert LONG in out
    assert "\x1b" not in out


def watched(request: httpx.Request) -> httpx.Response:
    job = {"id": ID, "state": "succeeded"}
    if not request.url.path.endswith("/events"):
        return httpx.Response(200, json=job)
    progress = {"fraction": 0.5, "iteration": 2, "eta_seconds": 240.0}
    events = (("phase", {"phase": "adapting"}), ("progress", progress), ("message", {"text": "half"}), ("state", job))
    text = "".join(f"event: {kind}\ndata: {json.dumps({'event': kind, 'data': data})}\n\n" for kind, data in events)
    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text=text)


def test_a_bar_says_how_long_it_takes_and_is_without_colours_where_none_are_wanted(terminal: Terminal) -> None:
    terminal.is_one(120)
    _, _, coloured = terminal.run("watch", ID, answers=watched)
    assert COLOUR.search(coloured)
    assert "about 4 minutes left" in coloured
    terminal.monkeypatch.setenv("NO_COLOR", "1")
    _, _, plain = terminal.run("watch", ID, answers=watched)
    assert "half" in plain
    assert not COLOUR.search(plain)


def test_an_upload_says_how_much_of_it_is_sent_and_then_what_is_waited_for(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "images.npz").write_bytes(bytes(2_000_000))

    def taken(request: httpx.Request) -> httpx.Response:
        request.read()
        return httpx.Response(201, json={"id": "dst_1", "state": "ready"})

    code, _, silent = terminal.run("datasets", "add", str(tmp_path / "images.npz"), answers=taken)
    assert (code, silent) == (0, "")
    terminal.is_one(120)
    code, _, shown = terminal.run("datasets", "add", str(tmp_path / "images.npz"), answers=taken)
    assert code == 0
    assert "2.0/2.0 MB" in shown
    assert "the service reads it" in shown


def test_every_command_that_has_an_answer_gives_it_as_json_on_request() -> None:
    found = dict(commands(typer.main.get_command(main.app)))
    without = {name for name, command in found.items() if not any("--json" in each.opts for each in command.params)}
    assert without == HAVE_NO_ANSWER


@pytest.mark.parametrize("kind", ["models", "datasets", "targets", "webhooks"])
def test_a_deletion_says_what_is_gone(terminal: Terminal, kind: str) -> None:
    gone: Any = lambda request: httpx.Response(204)  # noqa: E731
    assert terminal.run(kind, "delete", "x_1", answers=gone)[:2] == (0, "x_1 deleted\n")
    code, out, _ = terminal.run(kind, "delete", "x_1", "--json", answers=gone)
    assert (code, json.loads(out)) == (0, {"id": "x_1", "deleted": True})


@pytest.mark.parametrize(
    ("status", "detail", "helps"),
    [
        (401, "no token", "NETADAPT_TOKEN"),
        (404, "there is no job job_2", "netadapt jobs"),
        (422, "there is no target phone", "netadapt targets list"),
    ],
)
def test_a_refusal_says_which_command_helps(terminal: Terminal, status: int, detail: str, helps: str) -> None:
    code, _, err = terminal.run("show", "job_2", answers=always({"status": status, "detail": detail}, status))
    assert code == 1
    assert err.startswith(f"netadapt: {detail}; ")
    assert helps in err
    assert err.count("\n") == 1


def completed(terminal: Terminal, line: str, answers: Any = None) -> list[str]:
    """What bash is offered at the end of `line`."""
    words = line.split(" ")
    terminal.monkeypatch.setenv("COMP_WORDS", line)
    terminal.monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    terminal.monkeypatch.setenv("_NETADAPT_COMPLETE", "complete_bash")
    return terminal.run(answers=answers)[1].split()


def test_a_shell_completes_commands_words_and_the_ids_that_the_service_has(terminal: Terminal) -> None:
    assert completed(terminal, "netadapt prop") == ["proposals"]
    assert completed(terminal, "netadapt submit net.pt2 --preset mob") == ["mobilenetv3"]
    assert completed(terminal, "netadapt download job_1 --format safe") == ["safetensors"]
    assert completed(terminal, "netadapt watch job_", always(JOBS)) == [ID]


def test_where_no_service_answers_a_shell_is_offered_no_ids(terminal: Terminal) -> None:
    terminal.monkeypatch.setenv("NETADAPT_URL", "http://127.0.0.1:1")
    assert completion.words(completion.ids_of("jobs"))("job_") == []
