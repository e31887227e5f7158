"""Two hundred tiny jobs, four workers, fifty clients that poll and follow events; then a database with a long past.

`make bench NAME=load`; `--database sqlite|postgresql` (default: one after the other). No job may be lost or run twice
at once and no answer be a 5xx; reads take less than 100 ms (99th percentile) with the workers idle and less than 500 ms
with them busy; with 100,000 proposals in the database every page of every listing takes less than 100 ms. The last line
is one JSON object. Ends with 1 when a bar is missed.
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app.client import Client
from benchmarks.cluster import Cluster
from benchmarks.crash_jobs import requests_of
from benchmarks.databases import DATABASES, DatabaseKind, fresh_database
from benchmarks.load_clients import Answers, clients_at_work
from benchmarks.many_rows import add_past

JOBS = 200
HOSTS = 4
PROCESSES = 2  # of the API: one a core
CLIENTS = 50
IDLE_S = 30.0
LONGEST_S = 1800.0  # a job that has not ended by then is lost
PROPOSALS = 100_000
PAST_JOBS = 2_000
PAGES = 20  # of each listing, from its beginning and from its far end
BUSY_MS, IDLE_MS, PAGE_MS = 500.0, 100.0, 100.0
TINY = {"executor": "serial", "short_term_steps": 1, "final": "none", "schedule": {"initial": 0.2, "decay": 1.0}}


@dataclass(frozen=True, kw_only=True)
class Load:
    """`lost` jobs did not succeed; `twice` were begun more than once. `pages` are the slowest of each listing [ms]."""

    jobs: int
    lost: tuple[str, ...]
    twice: tuple[str, ...]
    busy: Answers
    busy_s: float
    idle: Answers
    pages: Mapping[str, float]

    @property
    def correct(self) -> bool:
        return not self.lost and not self.twice and self.busy.faults == self.idle.faults == 0

    @property
    def quick(self) -> bool:
        within = (
            self.busy.percentile_ms(0.99) <= BUSY_MS,
            self.idle.percentile_ms(0.99) <= IDLE_MS,
            max(self.pages.values()) <= PAGE_MS,
        )
        return all(within)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the cluster ends with us
    parser = argparse.ArgumentParser(prog="benchmarks.load", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, action="append")
    asked = parser.parse_args()
    kinds: Sequence[DatabaseKind] = asked.database or DATABASES
    loads = {kind: run(kind) for kind in kinds}
    met = all(load.correct and load.quick for load in loads.values())
    conditions = {
        "jobs": JOBS,
        "workers": HOSTS,
        "api_processes": PROCESSES,
        "clients": CLIENTS,
        "proposals": PROPOSALS,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }
    told = {kind: _told(load) for kind, load in loads.items()}
    print(json.dumps({"bench": "load", "met": met, "conditions": conditions, "databases": told}))
    return 0 if met else 1


def run(
    kind: DatabaseKind,
    *,
    jobs: int = JOBS,
    hosts: int = HOSTS,
    clients: int = CLIENTS,
    idle_s: float = IDLE_S,
    proposals: int = PROPOSALS,
    past_jobs: int = PAST_JOBS,
) -> Load:
    with (
        tempfile.TemporaryDirectory(prefix="netadapt-load-") as name,
        fresh_database(kind, Path(name)) as url,
        Cluster(Path(name), url, hosts=hosts, settings={"OMP_NUM_THREADS": "1"}, processes=PROCESSES) as cluster,
    ):
        with Client(cluster.address) as client:
            request = _tiny_request(client, Path(name))
            submitted = [client.submit(**request)["id"] for _ in range(jobs)]
            started = time.monotonic()
            busy = asyncio.run(_while_busy(cluster.address, submitted, clients))
            busy_s = time.monotonic() - started
            print(f"{kind}: {jobs} jobs in {busy_s:.0f} s, {sum(busy.statuses.values())} answers", flush=True)
            idle = asyncio.run(_while_idle(cluster.address, submitted, clients, idle_s))
            lost = [job for job in submitted if client.jobs.get(job)["state"] != "succeeded"]
            twice = [job for job in submitted if job not in lost and _begun(client, job) != 1]
        past = add_past(url, proposals=proposals, jobs=past_jobs)
        pages = slowest_pages(cluster.address, past, last_event=proposals)
        return Load(
            jobs=jobs,
            lost=tuple(lost),
            twice=tuple(twice),
            busy=busy,
            busy_s=busy_s,
            idle=idle,
            pages=pages,
        )


def slowest_pages(address: str, job: str, *, last_event: int) -> dict[str, float]:
    """The slowest of the first pages of each listing, and of the last ones where it goes by number [ms]."""
    by_number = [f"/v1/jobs/{job}/{part}" for part in ("events", "iterations", "proposals", "checkpoints")]
    listings = ["/v1/jobs", "/v1/jobs?state=succeeded", "/v1/jobs?state=failed", "/v1/models", "/v1/datasets"]
    listings += ["/v1/targets", *by_number, f"/v1/jobs/{job}/iterations/1/proposals"]
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as http:
        found = {path.replace(job, "{id}"): _slowest(http, path) for path in listings}
        far = f"/v1/jobs/{job}/events?after={max(0, last_event - 500)}"
        return found | {"/v1/jobs/{id}/events, far end": _slowest(http, far)}


def _slowest(http: httpx.Client, path: str) -> float:
    slowest, cursor = 0.0, None
    for _ in range(PAGES):
        started = time.perf_counter()
        answer = http.get(path, params={} if cursor is None else {"cursor": cursor})
        slowest = max(slowest, time.perf_counter() - started)
        cursor = answer.raise_for_status().json()["next_cursor"]
        if cursor is None:
            break
    return 1000 * slowest


async def _while_busy(address: str, jobs: Sequence[str], clients: int) -> Answers:
    async with (
        clients_at_work(address, jobs, count=clients, seed=0) as answers,
        httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as http,
    ):
        end = time.monotonic() + LONGEST_S
        while time.monotonic() < end:
            unfinished = [await http.get(f"/v1/jobs?limit=1&state={state}") for state in ("queued", "running")]
            if not any(answer.raise_for_status().json()["data"] for answer in unfinished):
                break
            await asyncio.sleep(1.0)
        return answers


async def _while_idle(address: str, jobs: Sequence[str], clients: int, seconds: float) -> Answers:
    async with clients_at_work(address, jobs, count=clients, seed=1) as answers:
        await asyncio.sleep(seconds)
    return answers


def _tiny_request(client: Client, folder: Path) -> dict[str, Any]:
    """On a small network and a fixed table, so that a job takes a second or two and measures nothing."""
    small = requests_of(client, folder)[0]
    return {**small, "budget": {"macs": "90%"}, "settings": {**small["settings"], **TINY}}


def _begun(client: Client, job: str) -> int:
    """How often a worker took it."""
    begun = 0
    for event in client.watch(job):
        data = event["data"]
        claimed = event["event"] == "state" and data["state"] == "running"
        begun += claimed or "stopped answering" in data.get("text", "")
    return begun


def _told(load: Load) -> dict[str, Any]:
    def latencies(answers: Answers) -> dict[str, float]:
        return {f"p{round(100 * share)}_ms": round(answers.percentile_ms(share), 1) for share in (0.5, 0.99)}

    return {
        "lost": len(load.lost),
        "twice": len(load.twice),
        "faults": load.busy.faults + load.idle.faults,
        "statuses": {str(status): count for status, count in (load.busy.statuses + load.idle.statuses).items()},
        "jobs_s": round(load.busy_s, 1),
        "busy": latencies(load.busy) | {"reads": len(load.busy.seconds), "events": load.busy.events},
        "idle": latencies(load.idle) | {"reads": len(load.idle.seconds)},
        "slowest_page_ms": {path: round(slowest, 1) for path, slowest in load.pages.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
