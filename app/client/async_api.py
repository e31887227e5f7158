"""`AsyncClient`: the verbs of the public API, each of which is awaited."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import anyio
import httpx

from app.client import verbs
from app.client.bound import AsyncDriven, awaited, gives_async
from app.client.driving import Address, AsyncDriver


class AsyncModels(AsyncDriven):
    add = awaited(verbs.add_model)
    list = gives_async(verbs.list_models)
    get = awaited(verbs.get_model)
    delete = awaited(verbs.delete_model)


class AsyncDatasets(AsyncDriven):
    add = awaited(verbs.add_dataset)
    wait = awaited(verbs.wait_for_dataset)
    report = awaited(verbs.report_on_dataset)
    list = gives_async(verbs.list_datasets)
    get = awaited(verbs.get_dataset)
    delete = awaited(verbs.delete_dataset)


class AsyncTargets(AsyncDriven):
    add = awaited(verbs.add_target)
    wait = awaited(verbs.wait_for_target)
    lookup_table = awaited(verbs.lookup_table)
    list = gives_async(verbs.list_targets)
    get = awaited(verbs.get_target)
    delete = awaited(verbs.delete_target)


class AsyncJobs(AsyncDriven):
    list = gives_async(verbs.list_jobs)
    get = awaited(verbs.get_job)
    delete = awaited(verbs.delete_job)


class AsyncWebhooks(AsyncDriven):
    add = awaited(verbs.add_webhook)
    deliveries = gives_async(verbs.deliveries)
    list = gives_async(verbs.list_webhooks)
    get = awaited(verbs.get_webhook)
    delete = awaited(verbs.delete_webhook)


class AsyncClient(AsyncDriven):
    """`Client` for one event loop, of asyncio or trio: `await` its answers, go through listings and events by
    `async for`; close it, or use it in `async with`. Several tasks may share one."""

    info = awaited(verbs.info)
    architectures = gives_async(verbs.architectures)
    submit = awaited(verbs.submit)
    check = awaited(verbs.check)
    watch = gives_async(verbs.watch)
    wait = awaited(verbs.wait)
    cancel = awaited(verbs.cancel)
    pause = awaited(verbs.pause)
    resume = awaited(verbs.resume)
    extend = awaited(verbs.extend)
    family = awaited(verbs.family)
    members = gives_async(verbs.members)
    curve = awaited(verbs.curve)
    iterations = gives_async(verbs.iterations)
    proposals = gives_async(verbs.proposals)
    proposals_csv = gives_async(verbs.proposals_csv)
    report = gives_async(verbs.report)
    checkpoints = gives_async(verbs.checkpoints)
    download = awaited(verbs.download)

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        token: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout_s: float = 60.0,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        super().__init__(AsyncDriver(Address(base_url, token, timeout_s), transport, sleep))
        self.models = AsyncModels(self._driver)
        self.datasets = AsyncDatasets(self._driver)
        self.targets = AsyncTargets(self._driver)
        self.jobs = AsyncJobs(self._driver)
        self.webhooks = AsyncWebhooks(self._driver)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._driver.close()
