"""The verbs of the public API, each written once as a generator (app.client.calls). `Client` and `AsyncClient` are the
same verbs driven in two ways: what is said of one here is what their methods do.

Where a network or a data set is asked for, a file or the id of something at the service will do.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.client import results
from app.client.calls import Call, Items, Nap, Open
from app.client.download import download_checkpoint
from app.client.exchange import chunks, pages, post_once, request
from app.client.sources import local_file
from app.client.watching import watch_job

POLL_S = 1.0
MODELS, DATASETS, TARGETS, JOBS = "/v1/models", "/v1/datasets", "/v1/targets", "/v1/jobs"
WEBHOOKS = "/v1/webhooks"
Budget = Mapping[str, float | str]
"""Resource -> absolute number, or "NN%" of the original's."""


def info() -> Call[results.Info]:
    """Version, limits, presets, formats, whether sign-in is needed."""
    return request("GET", "/v1/info")


def architectures() -> Items[results.Architecture]:
    """The zoo: `name`, `macs`, `params` and the paper's figures of each network."""
    return pages("/v1/architectures", {})


def list_models(**filters: Any) -> Items[results.Model]:
    """All of them, newest first."""
    return pages(MODELS, filters)


def get_model(id: str) -> Call[results.Model]:  # noqa: A002  # the API's own word, here and below
    return request("GET", _join(MODELS, id))


def delete_model(id: str) -> Call[None]:  # noqa: A002
    yield from request("DELETE", _join(MODELS, id))


def add_model(
    file: str | Path,
    *,
    name: str | None = None,
    architecture: Mapping[str, Any] | str | None = None,
    normalization: Mapping[str, Sequence[float]] | None = None,
    classes: Sequence[str] | None = None,
) -> Call[results.Model]:
    """Uploads a network (.pt2, .onnx, or .safetensors with its architecture).

    The same bytes twice give the same Model.

    `normalization` is `{"mean": [..], "std": [..]}` on pixel / 255.
    """
    fields = {
        "name": name,
        "architecture": architecture if isinstance(architecture, str) else _json_or_none(architecture),
        "normalization": _json_or_none(normalization),
        "classes": _json_or_none(classes),
    }
    return _upload(MODELS, Path(file), fields)


def list_datasets(**filters: Any) -> Items[results.Dataset]:
    """All of them, newest first; `digits` is always there."""
    return pages(DATASETS, filters)


def get_dataset(id: str) -> Call[results.Dataset]:  # noqa: A002
    return request("GET", _join(DATASETS, id))


def delete_dataset(id: str) -> Call[None]:  # noqa: A002
    yield from request("DELETE", _join(DATASETS, id))


def add_dataset(file: str | Path, *, name: str | None = None) -> Call[results.Dataset]:
    """Uploads a data set: .npz with x_train, y_train and so on, zip or tar of one folder per class, or .parquet.

    A large one is `checking` until a worker has decoded it; a job on it is accepted and waits.
    """
    return _upload(DATASETS, Path(file), {"name": name})


def wait_for_dataset(id: str) -> Call[results.Dataset]:  # noqa: A002
    """The data set once it is `ready` or `refused`."""
    while (dataset := (yield from get_dataset(id)))["state"] == "checking":
        yield Nap(POLL_S)
    return dataset


def report_on_dataset(id: str) -> Call[results.DatasetReport]:  # noqa: A002
    """Images by class and part, sizes, channel means, what was converted or left out, links to thumbnails."""
    return request("GET", _join(DATASETS, id, "report"))


def list_targets(**filters: Any) -> Items[results.Target]:
    """All of them, newest first; `local` is always there."""
    return pages(TARGETS, filters)


def get_target(id: str) -> Call[results.Target]:  # noqa: A002
    return request("GET", _join(TARGETS, id))


def delete_target(id: str) -> Call[None]:  # noqa: A002
    yield from request("DELETE", _join(TARGETS, id))


def add_target(target: Mapping[str, Any]) -> Call[results.Target]:
    """`{"kind": "table", ...}` is a fixed look-up table, `{"kind": "local", "runtime": ...}` a worker's machine
    with a runtime of your choice: that one is `checking` until a worker has tried it; a job on it waits."""
    return post_once(TARGETS, json=dict(target))


def wait_for_target(id: str) -> Call[results.Target]:  # noqa: A002
    """The target once it is `ready` or `refused`."""
    while (target := (yield from get_target(id)))["state"] == "checking":
        yield Nap(POLL_S)
    return target


def lookup_table(id: str) -> Call[dict[str, Any]]:  # noqa: A002
    """The document that a `table` target is made of: operators, their shapes and times, conditions, calibration."""
    return request("GET", _join(TARGETS, id, "lookup-table"))


def list_webhooks(**filters: Any) -> Items[results.Webhook]:
    """All of them, newest first."""
    return pages(WEBHOOKS, filters)


def get_webhook(id: str) -> Call[results.Webhook]:  # noqa: A002
    return request("GET", _join(WEBHOOKS, id))


def delete_webhook(id: str) -> Call[None]:  # noqa: A002
    yield from request("DELETE", _join(WEBHOOKS, id))


def add_webhook(url: str, *, events: Sequence[str] | None = None) -> Call[results.NewWebhook]:
    """Has `url` told of the end of your jobs (or of the given `events` only: `job.succeeded`, `job.failed`,
    `job.cancelled`). Keep the answer's `secret`, with which it checks signatures: it is shown this once."""
    body: dict[str, Any] = {"url": url}
    if events is not None:
        body["events"] = list(events)
    return post_once(WEBHOOKS, json=body)


def deliveries(id: str) -> Items[results.Delivery]:  # noqa: A002
    """What was sent to it, is to be sent, or was given up; newest first."""
    return pages(_join(WEBHOOKS, id, "deliveries"), {})


def list_jobs(**filters: Any) -> Items[results.Job]:
    """Newest first; `state=` and `model=` leave out the others."""
    return pages(JOBS, filters)


def get_job(id: str) -> Call[results.Job]:  # noqa: A002
    return request("GET", _join(JOBS, id))


def delete_job(id: str) -> Call[None]:  # noqa: A002
    yield from request("DELETE", _join(JOBS, id))


def submit(
    model: str | Path,
    *,
    budget: Budget,
    dataset: str | Path | None = None,
    target: str | None = None,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
    idempotency_key: str | None = None,
) -> Call[results.Job]:
    """Starts a job and returns it. `model` and `dataset` are files or ids; a file goes up with the request.

    With an `idempotency_key` of your own a script that is run again within a day finds the job that it has started.
    """
    asked = _job_request(budget=budget, target=target, settings=settings, name=name)
    model_file = local_file(model)
    dataset_file = None if dataset is None else local_file(dataset)
    if dataset is not None and dataset_file is None:
        asked["dataset"] = str(dataset)
    if model_file is None:
        if dataset_file is not None:
            asked["dataset"] = yield from _uploaded(dataset_file)
        job: results.Job = yield from post_once(JOBS, key=idempotency_key, json={"model": str(model), **asked})
        return job
    paths = {"model": model_file, "dataset": dataset_file}
    with ExitStack() as stack:
        files = {
            field: (path.name, stack.enter_context(path.open("rb")), "application/octet-stream")
            for field, path in paths.items()
            if path is not None
        }
        form = {"data": {"request": json.dumps(asked)}, "files": files}
        job = yield from post_once(JOBS, key=idempotency_key, **form)
    return job


def check(
    model: str | Path,
    *,
    budget: Budget,
    dataset: str | Path | None = None,
    target: str | None = None,
    settings: Mapping[str, Any] | None = None,
    wait_s: float = 300.0,
) -> Call[results.Feasibility]:
    """The Feasibility of a budget: can it be reached? Nothing is trained; a file is uploaded and stays.

    While the service is still measuring, it is asked again for up to `wait_s`; 0 asks once.
    """
    asked = _job_request(budget=budget, target=target, settings=settings, name=None)
    model_file = local_file(model)
    asked["model"] = str(model) if model_file is None else (yield from add_model(model_file))["id"]
    if dataset is not None:
        dataset_file = local_file(dataset)
        asked["dataset"] = str(dataset) if dataset_file is None else (yield from _uploaded(dataset_file))
    while True:
        only = {"validate_only": "true"}
        answer: results.Feasibility = yield from request("POST", JOBS, repeatable=True, params=only, json=asked)
        asked_to_wait_s = answer.get("retry_after_seconds")
        if answer.get("feasible") is not None or asked_to_wait_s is None or wait_s <= 0:
            return answer
        pause_s = min(max(float(asked_to_wait_s), 0.1), wait_s)
        wait_s -= pause_s
        yield Nap(pause_s)


def watch(job: str, *, after: int = 0) -> Items[results.Event]:
    """A job's events `{id, event, job, at, data}` as they happen, from the one after `after`, until its last state.

    A broken connection is taken up again where it broke; `progress` has no id and may be missed.
    """
    return watch_job(_join(JOBS, job), after=after)


def wait(job: str) -> Call[results.Job]:
    """The job when it has reached its last state."""
    yield from watch(job)
    return (yield from get_job(job))


def cancel(job: str) -> Call[results.Job]:
    return request("POST", _join(JOBS, job, "cancel"), repeatable=True)


def pause(job: str) -> Call[results.Job]:
    return request("POST", _join(JOBS, job, "pause"), repeatable=True)


def resume(job: str) -> Call[results.Job]:
    return request("POST", _join(JOBS, job, "resume"), repeatable=True)


def extend(job: str, *, budget: Budget, idempotency_key: str | None = None) -> Call[results.Job]:
    """A new job with a tighter budget that starts from the last iteration of this one."""
    return post_once(_join(JOBS, job, "extend"), key=idempotency_key, json={"budget": dict(budget)})


def family(
    job: str,
    *,
    iterations: Sequence[int] | None = None,
    budgets: Sequence[Budget | float | str] | None = None,
    long_term_epochs: int | None = None,
    idempotency_key: str | None = None,
) -> Call[list[results.Job]]:
    """New jobs, each of which trains one pick of this one to the end: those of `iterations`, or for each of
    `budgets` the first that is within it, or some spread over the search.

    A bare figure in `budgets` is of the one resource that the job has a budget for.
    """
    limits = None if budgets is None else [dict(each) if isinstance(each, Mapping) else each for each in budgets]
    given = {
        "iterations": None if iterations is None else list(iterations),
        "budgets": limits,
        "long_term_epochs": long_term_epochs,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    answer = yield from post_once(_join(JOBS, job, "family"), key=idempotency_key, json=asked)
    return list(answer["data"])


def members(job: str) -> Items[results.Job]:
    """The jobs that `family` has made of this one, newest first."""
    return pages(_join(JOBS, job, "family"), {})


def curve(job: str) -> Call[results.Curve]:
    """What each network of a job and its family needs and scores: `resource`, and in `data` a point for the
    original, every pick, the result, the members, and what they compare with."""
    return request("GET", _join(JOBS, job, "curve"))


def iterations(job: str) -> Items[results.Iteration]:
    return pages(_join(JOBS, job, "iterations"), {})


def proposals(job: str, *, iteration: int | None = None) -> Items[results.Proposal]:
    """Everything that the search looked at, ascending; of one iteration or of all."""
    parts = () if iteration is None else ("iterations", str(iteration))
    return pages(_join(JOBS, job, *parts, "proposals"), {"limit": 1000})


def proposals_csv(job: str) -> Items[bytes]:
    """The same as RFC 4180 text, in chunks, all rows."""
    return chunks(Open(path=_join(JOBS, job, "proposals"), headers={"Accept": "text/csv"}, params={"format": "csv"}))


def report(job: str) -> Items[bytes]:
    """The job as one HTML file, in chunks."""
    return chunks(Open(path=_join(JOBS, job, "report"), headers={"Accept": "text/html"}))


def checkpoints(job: str) -> Items[results.Checkpoint]:
    return pages(_join(JOBS, job, "checkpoints"), {})


def download(
    job: str,
    file: str | Path,
    *,
    format: str = "onnx",  # noqa: A002
    checkpoint: str | int = "final",
) -> Call[Path]:
    """Writes one checkpoint to `file`; it appears there only whole and with the right sha256.

    A transfer that breaks is taken up where it broke, also by a later call. `checkpoint` is the iteration, 0 for the
    original, "final" or "uniform"; `format` onnx, pt2, safetensors, or onnx-int8 where the job is on a target of
    precision int8.
    """
    return download_checkpoint(_join(JOBS, job, "checkpoints", str(checkpoint), "file"), Path(file), format=format)


def _job_request(
    *, budget: Budget, target: str | None, settings: Mapping[str, Any] | None, name: str | None
) -> dict[str, Any]:
    fields = {"budget": dict(budget), "target": target, "settings": dict(settings) if settings else None, "name": name}
    return {key: value for key, value in fields.items() if value is not None}


def _uploaded(dataset: Path) -> Call[str]:
    """Its id once it is read: an architecture of the zoo is built for the images' size and classes."""
    added = yield from add_dataset(dataset)
    if added.get("state") == "checking":
        yield from wait_for_dataset(added["id"])
    return added["id"]


def _upload(path: str, file: Path, fields: Mapping[str, str | None]) -> Call[Any]:
    local_file(file)
    data = {key: value for key, value in fields.items() if value is not None}
    with file.open("rb") as stream:
        files = {"file": (file.name, stream, "application/octet-stream")}
        return (yield from post_once(path, data=data, files=files))


def _json_or_none(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def _join(path: str, *parts: str) -> str:
    return "/".join([path, *(quote(part, safe="") for part in parts)])
