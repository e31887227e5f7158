"""`make bench NAME=audit`: runs three jobs on a live service and re-derives their searches from REST alone.

One job has a latency budget and picks by slope, one a budget in mult-adds and picks by accuracy, and one races to that
budget: which images its proposals answered is no part of REST, so the test that sent one out is taken on trust, and all
that follows from it is not. The data set's
test part has deliberately wrong labels (each one class further): a hold-out that held test images could not score
well, and a test part that held training images could not score exactly what the network itself says. The last line is
one JSON object; exit code 1 when a rule is broken, each violation on stderr.
"""

import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.client import Client, NetAdaptError
from benchmarks import demo_network
from benchmarks.audit_rules import Record, violations
from benchmarks.live_service import ServiceDidNotStart, live_service

EPOCHS = 2
SEED = 0
LEAST_HOLDOUT_ACCURACY = 0.9
SETTINGS = {
    "preset": "quick",
    "schedule": {"initial": 0.08, "decay": 0.98},
    "short_term_steps": 2,
    "long_term_epochs": 1,
    "batch_size": 32,
    "seed": SEED,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    budget: dict[str, str]
    pick: str
    search: str = "exact"
    steps: int = 2


CASES = (
    Case(budget={"latency_ms": "85%"}, pick="best-slope"),
    Case(budget={"macs": "85%"}, pick="highest-accuracy"),
    Case(budget={"macs": "85%"}, pick="highest-accuracy", search="racing", steps=4),
)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="netadapt-audit-") as name:
        try:
            found, cases = audit(Path(name))
        except (NetAdaptError, ServiceDidNotStart) as error:
            print(f"audit failed: {error}", file=sys.stderr)
            return 1
    for text in found:
        print(f"violation: {text}", file=sys.stderr)
    conditions = {"python": platform.python_version(), "cpus": os.cpu_count(), "settings": SETTINGS}
    seconds = round(time.monotonic() - start, 1)
    print(
        json.dumps(
            {"audit": "failed" if found else "ok", "violations": len(found), "jobs": cases, "seconds": seconds}
            | {"conditions": conditions}
        )
    )
    return 1 if found else 0


def audit(folder: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """All violations, and the figures of each case."""
    digits = demo_network.enlarged_digits(SEED)
    network = demo_network.train(digits, epochs=EPOCHS, seed=SEED, report=lambda epoch, loss: None)
    wrong = replace(digits, y_test=(digits.y_test + 1) % demo_network.CLASSES)
    expected = demo_network.accuracy(network, wrong.x_test, wrong.y_test)
    demo_network.export(network, folder / "digits.pt2")
    wrong.save(folder / "digits.npz")
    found, figures = [], []
    with live_service(folder) as address, Client(address) as client:
        for case in CASES:
            record = record_of(client, folder, case)
            found += violations(record) if record.job["state"] == "succeeded" else [_failure(record.job)]
            found += hold_out_and_test_are_apart(record, expected_test_accuracy=expected, images=len(wrong.y_test))
            figures.append(figures_of(record, case))
    return found, figures


def record_of(client: Client, folder: Path, case: Case) -> Record:
    """Runs one case to its end and reads back all that REST says of it."""
    settings = {**SETTINGS, "pick": case.pick, "search": case.search, "short_term_steps": case.steps}
    submitted = client.submit(
        folder / "digits.pt2", dataset=folder / "digits.npz", budget=case.budget, settings=settings
    )
    print(f"{submitted['id']}: {case.budget}, {case.pick}, {case.search}", flush=True)
    events = [event for event in client.watch(submitted["id"]) if event["id"] is not None]
    job = client.jobs.get(submitted["id"])
    return Record(
        job=job,
        model=client.models.get(job["model"]),
        iterations=list(client.iterations(job["id"])),
        proposals=list(client.proposals(job["id"])),
        checkpoints=list(client.checkpoints(job["id"])),
        events=events,
    )


def hold_out_and_test_are_apart(record: Record, *, expected_test_accuracy: float, images: int) -> Iterator[str]:
    """The test part scores exactly what its wrong labels leave; the hold-out as an image with a right label does."""
    scored = (record.job.get("original") or {}).get("accuracy")
    if scored is None or abs(scored - expected_test_accuracy) > 1.5 / images:
        yield f"{record.job['id']}: the original scores {scored} on the test part, {expected_test_accuracy} is right"
    for iteration in record.iterations:
        accuracy = iteration["control"]["accuracy"]
        if accuracy < LEAST_HOLDOUT_ACCURACY:
            yield f"{record.job['id']}: the control scores {accuracy}: does the hold-out hold test images?"


def figures_of(record: Record, case: Case) -> dict[str, Any]:
    states = [proposal["state"] for proposal in record.proposals]
    return {
        "budget": case.budget,
        "pick": case.pick,
        "search": case.search,
        "iterations": len(record.iterations),
        "groups": len(record.prunable),
        "proposals": {state: states.count(state) for state in sorted(set(states))},
        "original": record.job["original"],
        "result": record.job["result"],
    }


def _failure(job: Mapping[str, Any]) -> str:
    return f"{job['id']} {job['state']}: {(job.get('error') or {}).get('detail')}"


if __name__ == "__main__":
    sys.exit(main())
