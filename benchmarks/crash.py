"""Small real jobs under fifty kills at random moments: each has to end with the undisturbed run's checkpoint.

`make bench NAME=crash`; options: `--database sqlite|postgresql` (default: one after the other), `--seed`, `--kills`.
An API and two worker hosts with a lease of 3 s; every job is run undisturbed first, and its final safetensors file
compared byte for byte. Prints what was hit and when; the last line is one JSON object. Ends with 1 when the bar is
missed.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app.client import Client
from benchmarks.cluster import Cluster
from benchmarks.crash_jobs import Request, requests_of
from benchmarks.databases import DATABASES, DatabaseKind, fresh_database
from benchmarks.disturbances import Disturbance, Disturber

LEASE_S = 3.0
KILLS = 50
HOSTS = 2
PAUSE_S = 6.0  # between two kills, on average
WITHIN_S = 900.0
LOOK_S = 0.3
RequestsOf = Callable[[Client, Path], Sequence[Request]]
"""Makes the models and targets that the jobs need, and says what is asked for."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`wrong` says of each job that did not end as its undisturbed twin how it did end."""

    kills: tuple[tuple[float, Disturbance], ...]
    jobs: int
    wrong: tuple[str, ...]
    seconds: float
    undisturbed_s: float

    def met(self, kills: int) -> bool:
        return not self.wrong and len(self.kills) >= kills and self.seconds <= WITHIN_S


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the cluster ends with us
    parser = argparse.ArgumentParser(prog="benchmarks.crash", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=KILLS)
    asked = parser.parse_args()
    kinds: Sequence[DatabaseKind] = asked.database or DATABASES
    runs = {kind: run(kind, requests_of, seed=asked.seed, kills=asked.kills) for kind in kinds}
    met = all(outcome.met(asked.kills) for outcome in runs.values())
    conditions = {
        "lease_s": LEASE_S,
        "hosts": HOSTS,
        "seed": asked.seed,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "within_s": WITHIN_S,
    }
    told = {kind: _told(outcome) for kind, outcome in runs.items()}
    print(json.dumps({"bench": "crash", "met": met, "conditions": conditions, "databases": told}))
    return 0 if met else 1


def run(
    kind: DatabaseKind,
    requests: RequestsOf,
    *,
    seed: int,
    kills: int,
    hosts: int = HOSTS,
    pause_s: float = PAUSE_S,
) -> Outcome:
    """All jobs undisturbed, then again until they have ended and `kills` things have gone wrong."""
    settings = {"NETADAPT_LEASE_S": str(LEASE_S), "OMP_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryDirectory(prefix="netadapt-crash-") as name,
        fresh_database(kind, Path(name)) as url,
        Cluster(Path(name), url, hosts=hosts, settings=settings) as cluster,
    ):
        started = time.monotonic()
        with Client(cluster.address) as client:
            asked = requests(client, Path(name))
        with httpx.Client(base_url=cluster.address, timeout=60, trust_env=False) as http:
            jobs = Jobs(cluster, http, asked)
            expected = jobs.undisturbed()
            undisturbed_s = time.monotonic() - started
            print(f"{kind}: {len(asked)} jobs undisturbed in {undisturbed_s:.0f} s", flush=True)
            disturber = Disturber(cluster, url, seed, LEASE_S)
            struck, ended = jobs.disturbed(disturber, kills, pause_s)
            wrong = [line for job, number in ended.items() if (line := jobs.differs(job, expected[number]))]
        return Outcome(
            kills=tuple(struck),
            jobs=len(ended),
            wrong=tuple(wrong),
            seconds=time.monotonic() - started,
            undisturbed_s=undisturbed_s,
        )


class Jobs:
    """The jobs on a cluster whose API may be away at any moment."""

    def __init__(self, cluster: Cluster, http: httpx.Client, requests: Sequence[Request]) -> None:
        self._cluster, self._http, self._requests = cluster, http, requests

    def undisturbed(self) -> list[str]:
        """The sha256 of each request's final checkpoint."""
        submitted = [self._submit(request, f"undisturbed-{n}") for n, request in enumerate(self._requests)]
        while not all(self._over(job) for job in submitted):
            time.sleep(LOOK_S)
        return [self._final(job) for job in submitted]

    def disturbed(
        self, disturber: Disturber, kills: int, pause_s: float
    ) -> tuple[list[tuple[float, Disturbance]], dict[str, int]]:
        """What went wrong when, and the jobs with the number of their request. All jobs are submitted again as long as
        there have been too few kills; after WITHIN_S it is left as it is."""
        began = time.monotonic()
        end = began + WITHIN_S
        struck: list[tuple[float, Disturbance]] = []
        ended: dict[str, int] = {}
        round_number = 0
        while len(struck) < kills and time.monotonic() < end:
            round_number += 1
            running = {self._submit(request, f"{round_number}-{n}"): n for n, request in enumerate(self._requests)}
            ended |= running
            next_at = time.monotonic() + disturber.pause_s(pause_s)
            while running and time.monotonic() < end:
                disturber.wake()
                self._cluster.look_after()
                if len(struck) < kills and time.monotonic() >= next_at:
                    struck.append((time.monotonic() - began, disturber.strike()))
                    print(f"{struck[-1][0]:7.1f} s  {struck[-1][1].kind}: {struck[-1][1].what}", flush=True)
                    next_at = time.monotonic() + disturber.pause_s(pause_s)
                running = {job: n for job, n in running.items() if not self._over(job)}
                time.sleep(LOOK_S)
        disturber.close()
        return struck, ended

    def differs(self, job: str, expected: str) -> str | None:
        """How the job ended, unless as expected; and whether its events are without gaps."""
        found = self._get(f"/v1/jobs/{job}")
        if found["state"] != "succeeded":
            return f"{job} {found['state']}: {found['error'] and found['error']['detail']}"
        if (sha256 := self._final(job)) != expected:
            return f"{job}: {sha256} instead of {expected}"
        numbers = [event["id"] for event in self._events(job)]
        return None if numbers == list(range(1, len(numbers) + 1)) else f"{job}: its events have gaps"

    def _over(self, job: str) -> bool:
        return self._get(f"/v1/jobs/{job}")["state"] in {"succeeded", "failed", "cancelled"}

    def _final(self, job: str) -> str:
        checkpoints = self._get(f"/v1/jobs/{job}/checkpoints?limit=500")["data"]
        files = [file for each in checkpoints if each["checkpoint"] == "final" for file in each["files"]]
        return next((file["sha256"] for file in files if file["format"] == "safetensors"), "no final checkpoint")

    def _events(self, job: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        while page := self._get(f"/v1/jobs/{job}/events?limit=500&after={len(events)}")["data"]:
            events += page
        return events

    def _submit(self, request: Request, key: str) -> str:
        return str(self._persist("POST", "/v1/jobs", json=request, headers={"Idempotency-Key": key})["id"])

    def _get(self, path: str) -> dict[str, Any]:
        return self._persist("GET", path)

    def _persist(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """Its answer; asked again while the API is away, or its database is (503), or the same request of before still
        counts as running (409)."""
        end = time.monotonic() + WITHIN_S
        while time.monotonic() < end:
            try:
                answer = self._http.request(method, path, **arguments)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code not in {409, 503}:
                answer.raise_for_status()
                document: dict[str, Any] = answer.json()
                return document
            self._cluster.look_after()
            time.sleep(LOOK_S)
        raise TimeoutError(f"{method} {path} was not answered within {WITHIN_S:g} s")


def _told(outcome: Outcome) -> dict[str, Any]:
    return {
        "jobs": outcome.jobs,
        "kills": len(outcome.kills),
        "by_kind": dict(sorted(Counter(struck.kind for _, struck in outcome.kills).items())),
        "wrong": list(outcome.wrong),
        "undisturbed_s": round(outcome.undisturbed_s, 1),
        "seconds": round(outcome.seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
