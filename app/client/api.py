"""The verbs of the public API. Answers are the service's JSON as dictionaries: unknown fields pass through."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from app.client.connection import Connection, Json
from app.client.download import download_checkpoint
from app.client.sources import local_file
from app.client.watching import watch_job

POLL_S = 1.0
Budget = Mapping[str, float | str]
"""Resource -> absolute number, or "NN%" of the original's."""


class Collection:
    """`list`, `get` and `delete` of one kind of thing. `list` goes through all pages, newest first."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection, self._path = connection, path

    def list(self, **filters: Any) -> Iterator[Json]:
        return self._connection.pages(self._path, filters)

    def get(self, id: str) -> Json:  # noqa: A002  # the API's own word
        return self._connection.request("GET", _join(self._path, id))

    def delete(self, id: str) -> None:  # noqa: A002
        self._connection.request("DELETE", _join(self._path, id))


class Models(Collection):
    def add(
        self,
        file: str | Path,
        *,
        name: str | None = None,
        architecture: Mapping[str, Any] | str | None = None,
        normalization: Mapping[str, Sequence[float]] | None = None,
        classes: Sequence[str] | None = None,
    ) -> Json:
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
        return _upload(self._connection, self._path, Path(file), fields)


class Datasets(Collection):
    def __init__(self, connection: Connection, path: str, sleep: Callable[[float], None]) -> None:
        super().__init__(connection, path)
        self._sleep = sleep

    def add(self, file: str | Path, *, name: str | None = None) -> Json:
        """Uploads a data set: .npz with x_train, y_train and so on, zip or tar of one folder per class, or .parquet.

        A large one is `checking` until a worker has decoded it; a job on it is accepted and waits.
        """
        return _upload(self._connection, self._path, Path(file), {"name": name})

    def wait(self, id: str) -> Json:  # noqa: A002
        """The data set once it is `ready` or `refused`."""
        while (dataset := self.get(id))["state"] == "checking":
            self._sleep(POLL_S)
        return dataset

    def report(self, id: str) -> Json:  # noqa: A002
        """Images by class and part, sizes, channel means, what was converted or left out, links to thumbnails."""
        return self._connection.request("GET", _join(self._path, id, "report"))


class Targets(Collection):
    def __init__(self, connection: Connection, path: str, sleep: Callable[[float], None]) -> None:
        super().__init__(connection, path)
        self._sleep = sleep

    def add(self, target: Mapping[str, Any]) -> Json:
        """`{"kind": "table", ...}` is a fixed look-up table, `{"kind": "local", "runtime": ...}` a worker's machine
        with a runtime of your choice: that one is `checking` until a worker has tried it; a job on it waits."""
        return self._connection.request("POST", self._path, json=dict(target))

    def wait(self, id: str) -> Json:  # noqa: A002
        """The target once it is `ready` or `refused`."""
        while (target := self.get(id))["state"] == "checking":
            self._sleep(POLL_S)
        return target

    def lookup_table(self, id: str) -> Json:  # noqa: A002
        return self._connection.request("GET", _join(self._path, id, "lookup-table"))


class Webhooks(Collection):
    def add(self, url: str, *, events: Sequence[str] | None = None) -> Json:
        """Has `url` told of the end of your jobs (or of the given `events` only: `job.succeeded`, `job.failed`,
        `job.cancelled`). Keep the answer's `secret`, with which it checks signatures: it is shown this once."""
        body: dict[str, Any] = {"url": url}
        if events is not None:
            body["events"] = list(events)
        return self._connection.request("POST", self._path, json=body)

    def deliveries(self, id: str) -> Iterator[Json]:  # noqa: A002
        """What was sent to it, is to be sent, or was given up; newest first."""
        return self._connection.pages(_join(self._path, id, "deliveries"), {})


class Client:
    """A connection to one service; close it, or use it as a context manager. Not thread-safe.

    Raises a NetAdaptError (see `app.client.errors` for the tree) for whatever the service refuses.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        token: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        timeout_s: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connection = Connection(base_url, token, transport=transport, timeout_s=timeout_s, sleep=sleep)
        self._sleep = sleep
        self.models = Models(self._connection, "/v1/models")
        self.datasets = Datasets(self._connection, "/v1/datasets", sleep)
        self.targets = Targets(self._connection, "/v1/targets", sleep)
        self.jobs = Collection(self._connection, "/v1/jobs")
        self.webhooks = Webhooks(self._connection, "/v1/webhooks")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def info(self) -> Json:
        """Version, limits, presets, formats, whether sign-in is needed."""
        return self._connection.request("GET", "/v1/info")

    def architectures(self) -> Iterator[Json]:
        """The zoo: `name`, `macs`, `params` and the paper's figures of each network."""
        return self._connection.pages("/v1/architectures", {})

    def submit(
        self,
        model: str | Path,
        *,
        budget: Budget,
        dataset: str | Path | None = None,
        target: str | None = None,
        settings: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> Json:
        """Starts a job and returns it. `model` and `dataset` are files or ids; a file goes up with the request."""
        request = _job_request(budget=budget, target=target, settings=settings, name=name)
        model_file = local_file(model)
        dataset_file = None if dataset is None else local_file(dataset)
        if dataset is not None and dataset_file is None:
            request["dataset"] = str(dataset)
        if model_file is None:
            if dataset_file is not None:
                request["dataset"] = self._uploaded(dataset_file)
            return self._connection.request("POST", "/v1/jobs", json={"model": str(model), **request})
        paths = {"model": model_file, "dataset": dataset_file}
        with ExitStack() as stack:
            files = {
                field: (path.name, stack.enter_context(path.open("rb")), "application/octet-stream")
                for field, path in paths.items()
                if path is not None
            }
            return self._connection.request("POST", "/v1/jobs", data={"request": json.dumps(request)}, files=files)

    def check(
        self,
        model: str | Path,
        *,
        budget: Budget,
        dataset: str | Path | None = None,
        target: str | None = None,
        settings: Mapping[str, Any] | None = None,
        wait_s: float = 300.0,
    ) -> Json:
        """The Feasibility of a budget: can it be reached? Nothing is trained; a file is uploaded and stays.

        While the service is still measuring, it is asked again for up to `wait_s`; 0 asks once.
        """
        request = _job_request(budget=budget, target=target, settings=settings, name=None)
        model_file = local_file(model)
        request["model"] = str(model) if model_file is None else self.models.add(model_file)["id"]
        if dataset is not None:
            dataset_file = local_file(dataset)
            request["dataset"] = str(dataset) if dataset_file is None else self._uploaded(dataset_file)
        while True:
            answer = self._connection.request("POST", "/v1/jobs", params={"validate_only": "true"}, json=request)
            pause_s = answer.get("retry_after_seconds")
            if answer.get("feasible") is not None or pause_s is None or wait_s <= 0:
                return answer
            pause_s = min(max(float(pause_s), 0.1), wait_s)
            wait_s -= pause_s
            self._sleep(pause_s)

    def _uploaded(self, dataset: Path) -> str:
        """Its id once it is read: an architecture of the zoo is built for the images' size and classes."""
        added = self.datasets.add(dataset)
        return str(added["id"] if added.get("state") != "checking" else self.datasets.wait(added["id"])["id"])

    def watch(self, job: str, *, after: int = 0) -> Iterator[Json]:
        """A job's events `{id, event, job, at, data}` as they happen, from the one after `after`, until its last state.

        A broken connection is taken up again where it broke; `progress` has no id and may be missed.
        """
        return watch_job(self._connection, _join("/v1/jobs", job), after=after)

    def wait(self, job: str) -> Json:
        """The job when it has reached its last state."""
        for _ in self.watch(job):
            pass
        return self.jobs.get(job)

    def cancel(self, job: str) -> Json:
        return self._connection.request("POST", _join("/v1/jobs", job, "cancel"))

    def pause(self, job: str) -> Json:
        return self._connection.request("POST", _join("/v1/jobs", job, "pause"))

    def resume(self, job: str) -> Json:
        return self._connection.request("POST", _join("/v1/jobs", job, "resume"))

    def extend(self, job: str, *, budget: Budget) -> Json:
        """A new job with a tighter budget that starts from the last iteration of this one."""
        return self._connection.request("POST", _join("/v1/jobs", job, "extend"), json={"budget": dict(budget)})

    def family(
        self,
        job: str,
        *,
        iterations: Sequence[int] | None = None,
        budgets: Sequence[Budget | float | str] | None = None,
        long_term_epochs: int | None = None,
    ) -> list[Json]:
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
        members: list[Json] = self._connection.request("POST", _join("/v1/jobs", job, "family"), json=asked)["data"]
        return members

    def members(self, job: str) -> Iterator[Json]:
        """The jobs that `family` has made of this one, newest first."""
        return self._connection.pages(_join("/v1/jobs", job, "family"), {})

    def curve(self, job: str) -> Json:
        """What each network of a job and its family needs and scores: `resource`, and in `data` a point for the
        original, every pick, the result, the members, and what they compare with."""
        return self._connection.request("GET", _join("/v1/jobs", job, "curve"))

    def iterations(self, job: str) -> Iterator[Json]:
        return self._connection.pages(_join("/v1/jobs", job, "iterations"), {})

    def proposals(self, job: str, *, iteration: int | None = None) -> Iterator[Json]:
        """Everything that the search looked at, ascending; of one iteration or of all."""
        parts = () if iteration is None else ("iterations", str(iteration))
        return self._connection.pages(_join("/v1/jobs", job, *parts, "proposals"), {"limit": 1000})

    def proposals_csv(self, job: str) -> Iterator[bytes]:
        """The same as RFC 4180 text, in chunks, all rows."""
        path = _join("/v1/jobs", job, "proposals")
        with self._connection.stream(path, headers={"Accept": "text/csv"}, params={"format": "csv"}) as response:
            yield from response.iter_bytes()

    def checkpoints(self, job: str) -> Iterator[Json]:
        return self._connection.pages(_join("/v1/jobs", job, "checkpoints"), {})

    def download(
        self,
        job: str,
        file: str | Path,
        *,
        format: str = "onnx",  # noqa: A002
        checkpoint: str | int = "final",
    ) -> Path:
        """Writes one checkpoint to `file`; it appears there only whole and with the right sha256.

        `checkpoint` is the iteration, 0 for the original, "final" or "uniform"; `format` onnx, pt2, safetensors, or
        onnx-int8 where the job is on a target of precision int8.
        """
        path = _join("/v1/jobs", job, "checkpoints", str(checkpoint), "file")
        return download_checkpoint(self._connection, path, Path(file), format=format)


def _job_request(
    *, budget: Budget, target: str | None, settings: Mapping[str, Any] | None, name: str | None
) -> dict[str, Any]:
    fields = {"budget": dict(budget), "target": target, "settings": dict(settings) if settings else None, "name": name}
    return {key: value for key, value in fields.items() if value is not None}


def _upload(connection: Connection, path: str, file: Path, fields: Mapping[str, str | None]) -> Json:
    local_file(file)
    data = {key: value for key, value in fields.items() if value is not None}
    with file.open("rb") as stream:
        files = {"file": (file.name, stream, "application/octet-stream")}
        return connection.request("POST", path, data=data, files=files)


def _json_or_none(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def _join(path: str, *parts: str) -> str:
    return "/".join([path, *(quote(part, safe="") for part in parts)])
