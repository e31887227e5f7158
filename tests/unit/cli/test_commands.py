"""The commands against made-up answers: what they print, and how they end."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli.output import duration
from tests.terminal import Terminal, always

JOB = {
    "id": "job_1",
    "name": None,
    "state": "succeeded",
    "requested": None,
    "phase": None,
    "model": "mdl_1",
    "dataset": "digits",
    "target": "local",
    "budget": {"latency_ms": "60%"},
    "progress": {"fraction": 1.0, "iteration": 4},
    "original": {"latency_ms": {"predicted": 2.0, "measured": 2.1}, "macs": 4000000, "params": 900, "accuracy": 0.99},
    "current": None,
    "result": {"latency_ms": {"predicted": 1.25, "measured": None}, "macs": 2e6, "params": 500, "accuracy": 0.98},
    "error": None,
    "created_at": "2026-01-01T00:00:00Z",
}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    for name in ("NETADAPT_URL", "NETADAPT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return Terminal(monkeypatch, capsys)


def stream(*events: tuple[str, dict[str, Any]]) -> httpx.Response:
    text = "".join(
        f"id: {number}\nevent: {kind}\ndata: {json.dumps({'id': number, 'event': kind, 'data': data})}\n\n"
        for number, (kind, data) in enumerate(events, start=1)
    )
    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text=text)


def test_submit_prints_the_id_and_sends_what_was_typed(terminal: Terminal) -> None:
    typed = ["submit", "mdl_1", "--budget", "latency_ms=60%", "--preset", "quick", "--set", "schedule.initial=0.05"]
    code, out, _ = terminal.run(*typed, answers=always({**JOB, "state": "queued"}, 202))
    assert (code, out) == (0, "job_1\n")
    sent = json.loads(terminal.requests[0].content)
    assert sent == {
        "model": "mdl_1",
        "budget": {"latency_ms": "60%"},
        "settings": {"preset": "quick", "schedule": {"initial": 0.05}},
    }


def test_a_job_that_runs_says_that_its_accuracy_is_the_hold_outs(terminal: Terminal) -> None:
    running = {**JOB, "state": "running", "current": JOB["result"], "result": None}
    _, out, _ = terminal.run("show", "job_1", answers=always(running))
    assert "accuracy 99.00 %\n" in out
    assert "accuracy 98.00 % on the hold-out\n" in out


def test_the_list_of_jobs_says_it_too_and_gives_a_budget_as_people_read_it(terminal: Terminal) -> None:
    running = {**JOB, "state": "running", "current": JOB["result"], "result": None, "budget": {"latency_ms": 1 / 7}}
    _, out, _ = terminal.run("jobs", answers=always({"data": [running, JOB], "next_cursor": None}))
    first, second = out.splitlines()[1:]
    assert "98.00 % on the hold-out" in first
    assert "latency_ms 0.1429 " in first
    assert "98.00 %" in second
    assert "hold-out" not in second
    assert "latency_ms 60%" in second


@pytest.mark.parametrize(
    "typed",
    [
        ["submit"],
        ["submit", "mdl_1"],
        ["submit", "mdl_1", "--budget", "latency_ms"],
        ["submit", "mdl_1", "--latency-ms", "fast"],
        ["frobnicate"],
        ["proposals", "job_1", "--csv", "--json"],
        ["download", "job_1"],
    ],
)
def test_wrong_usage_ends_with_2_and_asks_nothing(terminal: Terminal, typed: list[str]) -> None:
    code, _, err = terminal.run(*typed)
    assert code == 2
    assert "Usage" in err
    assert terminal.requests == []


def test_a_refusal_is_one_line_on_stderr_and_1(terminal: Terminal) -> None:
    body = {"title": "Invalid", "status": 422, "detail": "0.1 asked,\n0.9 is the least this network can reach"}
    code, out, err = terminal.run("submit", "mdl_1", "--latency-ms", "0.1", answers=always(body, 422))
    assert (code, out) == (1, "")
    assert err == "netadapt: 0.1 asked, 0.9 is the least this network can reach\n"


def test_a_missing_file_is_one_line_on_stderr_and_1(terminal: Terminal, tmp_path: Path) -> None:
    code, _, err = terminal.run("submit", str(tmp_path / "net.pt2"), "--latency-ms", "1")
    assert code == 1
    assert err == f"netadapt: {tmp_path / 'net.pt2'}: no such file\n"


def test_url_and_token_come_from_the_environment(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETADAPT_URL", "http://elsewhere.test:9")
    monkeypatch.setenv("NETADAPT_TOKEN", "nat_2")
    code, _, _ = terminal.run("jobs", answers=always({"data": [], "next_cursor": None}))
    assert code == 0
    request = terminal.requests[0]
    assert request.url.host == "elsewhere.test"
    assert request.headers["Authorization"] == "Bearer nat_2"


@pytest.mark.parametrize("command", [["jobs"], ["models", "list"], ["datasets", "list"], ["targets", "list"]])
def test_every_listing_is_one_json_array_on_request(terminal: Terminal, command: list[str]) -> None:
    rows = [{**JOB, "id": "a"}, {**JOB, "id": "b"}]
    page = {"data": rows, "next_cursor": None}
    code, out, _ = terminal.run(*command, "--json", answers=always(page))
    assert code == 0
    assert json.loads(out) == rows
    code, out, _ = terminal.run(*command, answers=always(page))
    assert code == 0
    assert out.splitlines()[0].startswith("ID")
    assert len(out.splitlines()) == 3


def test_show_says_what_is_measured_and_what_is_predicted(terminal: Terminal) -> None:
    code, out, _ = terminal.run("show", "job_1", answers=always(JOB))
    assert code == 0
    assert "2.1 ms, 4 M mult-adds" in out
    assert "1.25 ms (predicted)" in out


def test_control_characters_of_a_label_do_not_reach_the_terminal(terminal: Terminal) -> None:
    code, out, _ = terminal.run("show", "job_1", answers=always({**JOB, "name": "a\x1b[31m\nb"}))
    assert code == 0
    assert "\x1b" not in out
    assert "a?[31m?b" in out


@pytest.mark.parametrize(("feasible", "expected"), [(True, 0), (False, 1), (None, 1)])
def test_check_ends_as_the_budget_does(terminal: Terminal, feasible: bool | None, expected: int) -> None:
    answer = {"feasible": feasible, "reason": "because", "retry_after_seconds": None, "basis": "predicted"}
    code, out, _ = terminal.run("check", "mdl_1", "--latency-ms", "1", answers=always(answer))
    assert code == expected
    assert "because" in out


@pytest.mark.parametrize(("state", "expected"), [("succeeded", 0), ("failed", 1), ("cancelled", 1)])
def test_submit_and_watch_ends_as_the_job_does(terminal: Terminal, state: str, expected: int) -> None:
    job = {**JOB, "state": state, "error": {"detail": "it broke"} if state == "failed" else None}

    def answers(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            iteration = {"iteration": 1, "after": {"macs": 3e6, "latency_ms": 1.5}, "holdout": {"accuracy": 0.975}}
            return stream(("phase", {"phase": "adapting"}), ("iteration", iteration), ("state", {"state": state}))
        return httpx.Response(202 if request.method == "POST" else 200, json=job)

    code, out, err = terminal.run("submit", "mdl_1", "--latency-ms", "1", "--watch", answers=answers)
    assert code == expected
    assert "phase: adapting\niteration 1 done: 1.5 ms, 3 M mult-adds, hold-out 97.50 %\n" in out
    assert ("it broke" in err) == (state == "failed")


def test_watch_prints_events_as_json_lines_on_request(terminal: Terminal) -> None:
    def answers(request: httpx.Request) -> httpx.Response:
        return stream(("state", JOB)) if request.url.path.endswith("/events") else httpx.Response(200, json=JOB)

    code, out, _ = terminal.run("watch", "job_1", "--json", answers=answers)
    assert code == 0
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["state"]


def test_ctrl_c_leaves_the_job_running_and_says_so(terminal: Terminal) -> None:
    def answers(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    code, _, err = terminal.run("watch", "job_1", answers=answers)
    assert code == 1
    assert "job_1 goes on without us" in err
    assert not any(request.method == "POST" for request in terminal.requests)


def test_proposals_are_listed_with_the_reason_of_what_was_skipped(terminal: Terminal) -> None:
    unknown = dict.fromkeys(["filters_after", "accuracy", "delta_accuracy", "delta_latency_ms", "reason"])
    both = {"iteration": 1, "kind": "plain", **unknown}
    figures = {"filters_after": 24, "steps": 10, "accuracy": 0.9, "delta_accuracy": -0.01, "delta_latency_ms": -0.25}
    rows = [
        {**both, **figures, "group": "g1", "filters_before": 32, "state": "evaluated", "picked": True},
        {**both, "group": "g2", "filters_before": 8, "state": "skipped", "picked": False, "reason": "too small"},
        {**both, **figures, "group": "g3", "further": {"g4": [0]}, "filters_before": 32, "state": "evaluated"},
    ]
    code, out, _ = terminal.run("proposals", "job_1", answers=always({"data": rows, "next_cursor": None}))
    assert code == 0
    first, second, third = out.splitlines()[1:]
    assert " ".join(first.split()) == "1 * g1 plain 32 -> 24 evaluated 10 90.00 % -1.00 % -0.25 -"
    assert second.endswith("too small")
    assert " ".join(third.split()).startswith("1 g3 + g4 plain 32 -> 24")


def test_a_models_groups_say_of_how_many_filters_a_channel_is(terminal: Terminal) -> None:
    both = {"kind": "plain", "channels": 32, "prunable": True, "reason": None}
    groups = [{"id": "a", "layers": ["a"], "filters_each": 1, **both}, {"id": "b", "layers": ["b"], **both}]
    groups += [{"id": "c", "layers": ["c", "d"], **both, "filters_each": 4}]
    model = {"id": "mdl_1", "name": "net", "state": "ready", "groups": groups}
    code, out, _ = terminal.run("models", "show", "mdl_1", answers=always(model))
    assert code == 0
    listed = [" ".join(line.split()) for line in out.splitlines()[-3:]]
    assert listed == ["a plain 32 yes a", "b plain 32 yes b", "c plain 32 x 4 filters yes c, d"]


def test_proposals_as_csv_are_the_services_bytes(terminal: Terminal) -> None:
    text = "iteration,group\r\n1,g1\r\n"
    code, out, _ = terminal.run("proposals", "job_1", "--csv", answers=lambda _: httpx.Response(200, text=text))
    assert code == 0
    assert out == text


def test_architectures_stand_beside_their_papers(terminal: Terminal) -> None:
    paper = {"reference": "Howard et al. 2017", "macs_millions": 569, "params_millions": 4.2, "note": ""}
    row = {"name": "mobilenet_v1", "family": "mobilenet_v1", "macs": 568_740_352, "params": 4_231_976, "paper": paper}

    def answers(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/architectures"
        return httpx.Response(200, json={"data": [row], "next_cursor": None})

    code, out, _ = terminal.run("architectures", answers=answers)
    assert code == 0
    assert out.splitlines()[1].split("  ")[0] == "mobilenet_v1"
    assert "569 M" in out
    assert "4.2 M" in out
    code, out, _ = terminal.run("architectures", "--json", answers=answers)
    assert (code, json.loads(out)) == (0, [row])


REPORT = {
    "dataset": "dst_1",
    "state": "ready",
    "classes": ["cat", "dog"],
    "counts": {"cat": {"train": 8, "holdout": 2, "test": 2}, "dog": {"train": 7, "holdout": 1, "test": 2}},
    "splits": {"train": 15, "holdout": 3, "test": 4, "test_from": "test", "holdout_from": "val"},
    "image_shape": [10, 12, 3],
    "sizes": {"smallest": [10, 12], "largest": [20, 60], "distinct": 2, "most_common": []},
    "channel_mean": [0.5, 0.4, 0.25],
    "channel_std": [0.2, 0.2, 0.2],
    "unreadable": {"count": 1, "first": ["cat/1.jpg: truncated"]},
    "notes": ["2 images grey: given three equal channels"],
    "thumbnails": {"count": 22, "rule": "", "links": []},
}


def test_a_data_sets_report_is_shown_by_class_or_as_json(terminal: Terminal) -> None:
    code, out, _ = terminal.run("datasets", "report", "dst_1", answers=lambda _: httpx.Response(200, json=REPORT))
    assert (code, terminal.requests[0].url.path) == (0, "/v1/datasets/dst_1/report")
    lines = [line.split() for line in out.splitlines()]
    assert ["CLASS", "TRAIN", "HOLDOUT", "TEST"] in lines
    assert ["dog", "7", "1", "2"] in lines
    for said in ("10 x 12 to 20 x 60, 2 sizes", "0.5000, 0.4000, 0.2500", "- 2 images grey"):
        assert said in out
    code, out, _ = terminal.run(
        "datasets", "report", "dst_1", "--json", answers=lambda _: httpx.Response(200, json=REPORT)
    )
    assert (code, json.loads(out)) == (0, REPORT)


def test_the_report_of_a_data_set_that_is_still_decoded_says_so(terminal: Terminal) -> None:
    waiting = {"dataset": "dst_1", "state": "checking", "notes": [], "thumbnails": {"count": 0}}
    code, out, _ = terminal.run("datasets", "report", "dst_1", answers=lambda _: httpx.Response(200, json=waiting))
    assert (code, "checking" in out) == (0, True)


def test_a_target_is_added_from_options_or_from_a_file(terminal: Terminal, tmp_path: Path) -> None:
    target = {"id": "tgt_1", "kind": "local", "state": "checking", "provider_options": {"a": "1"}}
    typed = ("--runtime", "onnxruntime", "--threads", "2", "--precision", "int8", "--option", "a=1", "--name", "fast")
    code, out, _ = terminal.run("targets", "add", *typed, answers=always(target, 201))
    assert code == 0
    assert "a=1" in out
    assert json.loads(terminal.requests[-1].content) == {
        "kind": "local",
        "runtime": "onnxruntime",
        "threads": 2,
        "precision": "int8",
        "provider_options": {"a": "1"},
        "name": "fast",
    }
    file = tmp_path / "table.json"
    file.write_text('{"kind": "table", "from": "local"}')
    assert terminal.run("targets", "add", str(file), answers=always(target, 201))[0] == 0
    assert json.loads(terminal.requests[-1].content) == {"kind": "table", "from": "local"}


@pytest.mark.parametrize("typed", [(), ("table.json", "--threads", "2"), ("--option", "a")])
def test_a_target_is_either_a_file_or_options(terminal: Terminal, typed: tuple[str, ...]) -> None:
    code, _, _ = terminal.run("targets", "add", *typed)
    assert code == 2
    assert terminal.requests == []


def test_a_target_is_shown_with_what_its_table_covers(terminal: Terminal) -> None:
    entry = {"operator": "conv3x3s1", "shape": "8x8x8>8x8x8/8", "ms": 0.5, "count": 3, "spread": 0.02}
    dated = {**entry, "shape": "8x8x8>4x8x8/8", "ms": 0.25, "measured_at": "2026-01-02T03:04:05.000Z"}
    table = {"conditions": {"runtime": "onnxruntime", "threads": 2}, "calibration": 1.0, "entries": [entry, dated]}
    target = {"id": "tgt_1", "kind": "local", "state": "ready"}

    def answers(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=table if request.url.path.endswith("/lookup-table") else target)

    code, out, _ = terminal.run("targets", "show", "tgt_1", answers=answers)
    assert code == 0
    assert "2 entries of 1 kinds of operator" in out
    assert out.splitlines()[-1].split() == [
        "conv3x3s1",
        "2",
        "6",
        "0.25",
        "to",
        "0.5",
        "2.00",
        "%",
        "2026-01-02T03:04:05.000Z",
    ]
    code, out, _ = terminal.run("targets", "show", "tgt_1", "--json", answers=answers)
    assert json.loads(out) == {**target, "lookup_table": table}


def test_a_target_without_measurements_says_so(terminal: Terminal) -> None:
    def answers(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/lookup-table"):
            return httpx.Response(404, json={"title": "Nothing was measured yet", "status": 404})
        return httpx.Response(200, json={"id": "tgt_1", "state": "refused", "error": {"detail": "no such provider"}})

    code, out, _ = terminal.run("targets", "show", "tgt_1", answers=answers)
    assert code == 0
    assert "no such provider" in out
    assert "nothing was measured on it yet" in out


def test_check_tells_what_was_measured_and_about_how_long_a_job_takes(terminal: Terminal) -> None:
    measured = {"predicted": None, "measured": 7.16, "low": 7.1, "high": 7.2}
    answer = {
        "feasible": True,
        "basis": "measured",
        "original": {"latency_ms": 7.16, "macs": 3e8},
        "smallest": {"latency_ms": 2.0, "macs": 1e7},
        "latency": {"original": measured, "smallest": {**measured, "measured": None, "predicted": 2.0}},
        "budget": {"latency_ms": 4.2999999},
        "seconds_estimate": 2400.0,
        "reason": None,
        "retry_after_seconds": None,
    }
    code, out, _ = terminal.run("check", "mdl_1", "--latency-ms", "60%", answers=always(answer))
    assert code == 0
    assert "about 40 minutes" in out
    assert "original 7.1 to 7.2 ms" in out
    assert "2 ms (predicted)" in out
    assert "latency_ms 4.3" in out


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "about 1 second"),
        (50.0, "about 50 seconds"),
        (100.0, "about 2 minutes"),
        (8000.0, "about 2 hours"),
        (2e5, "about 2 days"),
        (None, None),
    ],
)
def test_a_duration_is_told_as_one_says_it(seconds: float | None, words: str | None) -> None:
    assert duration(seconds) == words


MEMBER = JOB | {"id": "job_2", "state": "queued", "continues": "job_1", "from_iteration": 2, "result": None}


def test_a_family_is_asked_for_by_iterations_or_budgets_and_its_members_are_listed(terminal):
    def answers(request: httpx.Request) -> httpx.Response:
        return httpx.Response(202, json={"data": [MEMBER], "next_cursor": None})

    code, out, _ = terminal.run("family", "job_1", "--iterations", "2, 4", answers=answers)
    assert (code, out.split()[:8]) == (0, ["ID", "ITERATION", "BUDGET", "STATE", "job_2", "2", "latency_ms", "60%"])
    terminal.run("family", "job_1", "--budgets", "6,50%,params=2e6", "--epochs", "3", answers=answers)
    code, out, _ = terminal.run("family", "job_1", "--json", answers=answers)
    assert json.loads(out) == [MEMBER]
    assert [json.loads(request.content) for request in terminal.requests] == [
        {"iterations": [2, 4]},
        {"budgets": [6.0, "50%", {"params": 2e6}], "long_term_epochs": 3},
        {},
    ]
    assert {request.url.path for request in terminal.requests} == {"/v1/jobs/job_1/family"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("--iterations", "1,two"), "no list of whole numbers"),
        (("--iterations", "1,,2"), "has an empty place"),
        (("--budgets", "fast"), "neither a number nor NN%"),
        (("--budgets", "=5"), "is not KEY=VALUE"),
        (("--budgets", "5", "--iterations", "1"), "not both"),
    ],
)
def test_a_family_that_cannot_be_meant_is_wrong_usage(terminal, typed, said):
    code, _, err = terminal.run("family", "job_1", *typed)
    assert (code, said in err) == (2, True)


def test_the_curve_is_a_table_with_unfinished_members_named_as_such_and_an_array_in_json(terminal):
    point = {"kind": "pick", "job": "job_1", "state": "succeeded", "iteration": 3, "checkpoint": "3", "macs": 2000000}
    point |= {"latency_ms": {"predicted": 1.1, "measured": 1.2}, "holdout_accuracy": 0.9, "test_accuracy": None}
    waiting = {"kind": "member", "job": "job_2", "state": "queued", "iteration": 3, "checkpoint": None}
    document = {"job": "job_1", "resource": "latency_ms", "data": [point, waiting]}
    code, out, _ = terminal.run("curve", "job_1", answers=lambda request: httpx.Response(200, json=document))
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 3)
    assert all(text in lines[1] for text in ("pick 3", "1.2 ms", "2 M", "90.00 %"))
    assert "member 3 (queued)" in lines[2]
    code, out, _ = terminal.run("curve", "job_1", "--json", answers=lambda request: httpx.Response(200, json=document))
    assert json.loads(out) == [point, waiting]


def test_a_report_is_saved_whole_or_not_at_all(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    page = httpx.Response(200, headers={"Content-Type": "text/html"}, text="<!doctype html>")
    code, out, _ = terminal.run("report", "job_1", "-o", str(file), answers=lambda _: page)
    assert (code, file.read_text(), out) == (0, "<!doctype html>", f"{file}: 15 bytes\n")
    assert terminal.requests[-1].url.path == "/v1/jobs/job_1/report"
    code, _, err = terminal.run(
        "report", "job_2", "-o", str(file), answers=always({"detail": "there is no job_2"}, 404)
    )
    assert (code, err.count("\n")) == (1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    code, _, err = terminal.run("report", "job_1", "-o", str(tmp_path / "no" / "r.html"), answers=lambda _: page)
    assert (code, "r.html" in err) == (1, True)
