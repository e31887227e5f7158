"""`Client`: the verbs of the public API, each of which blocks until it is answered."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx

from app.client import verbs
from app.client.bound import Driven, answers, gives
from app.client.driving import Address, BlockingDriver, OnUpload


class Models(Driven):
    add = answers(verbs.add_model)
    list = gives(verbs.list_models)
    get = answers(verbs.get_model)
    delete = answers(verbs.delete_model)


class Datasets(Driven):
    add = answers(verbs.add_dataset)
    wait = answers(verbs.wait_for_dataset)
    report = answers(verbs.report_on_dataset)
    list = gives(verbs.list_datasets)
    get = answers(verbs.get_dataset)
    delete = answers(verbs.delete_dataset)


class Targets(Driven):
    add = answers(verbs.add_target)
    wait = answers(verbs.wait_for_target)
    lookup_table = answers(verbs.lookup_table)
    list = gives(verbs.list_targets)
    get = answers(verbs.get_target)
    delete = answers(verbs.delete_target)


class Jobs(Driven):
    list = gives(verbs.list_jobs)
    get = answers(verbs.get_job)
    delete = answers(verbs.delete_job)


class Webhooks(Driven):
    add = answers(verbs.add_webhook)
    deliveries = gives(verbs.deliveries)
    list = gives(verbs.list_webhooks)
    get = answers(verbs.get_webhook)
    delete = answers(verbs.delete_webhook)


class Client(Driven):
    """A connection to one service; close it, or use it as a context manager. Not thread-safe.

    Answers are the service's JSON (app.client.results has their types); unknown fields pass through. What is safe to
    send again is sent again when the connection breaks or the service has no time.
    Raises a NetAdaptError (see `app.client.errors` for the tree) for whatever the service refuses.

    `on_upload(sent, size)` is told, in bytes, how far the body of each request is out.
    """

    info = answers(verbs.info)
    architectures = gives(verbs.architectures)
    submit = answers(verbs.submit)
    check = answers(verbs.check)
    watch = gives(verbs.watch)
    wait = answers(verbs.wait)
    cancel = answers(verbs.cancel)
    pause = answers(verbs.pause)
    resume = answers(verbs.resume)
    extend = answers(verbs.extend)
    family = answers(verbs.family)
    members = gives(verbs.members)
    curve = answers(verbs.curve)
    iterations = gives(verbs.iterations)
    proposals = gives(verbs.proposals)
    proposals_csv = gives(verbs.proposals_csv)
    report = gives(verbs.report)
    checkpoints = gives(verbs.checkpoints)
    download = answers(verbs.download)

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        token: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        timeout_s: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
        on_upload: OnUpload | None = None,
    ) -> None:
        super().__init__(BlockingDriver(Address(base_url, token, timeout_s), transport, sleep, on_upload))
        self.models = Models(self._driver)
        self.datasets = Datasets(self._driver)
        self.targets = Targets(self._driver)
        self.jobs = Jobs(self._driver)
        self.webhooks = Webhooks(self._driver)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._driver.close()
