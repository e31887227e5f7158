"""`make demo`: train a network, hand it to the service with a budget of 60 % of its latency, take the result home.

Everything goes the way a user's own network would: plain `torch.export.save`, real files, real HTTP, a real server
process. At the end original and adapted file run side by side in onnxruntime. The last line is one JSON object.
"""

import json
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.cli.following import follow
from app.client import Client, NetAdaptError
from benchmarks import demo_network
from benchmarks.live_service import ServiceDidNotStart, live_service
from benchmarks.side_by_side import Comparison, accuracy_of, compare

BUDGET = 0.60
TOLERANCE = 0.03
LARGEST_DROP = 0.03  # three points of accuracy
LEAST_ITERATIONS = 3
LEAST_SPREAD = 0.10  # between the shares that the least and the most thinned group keep
EPOCHS = 4
SEED = 0
SETTINGS = {
    "preset": "quick",
    "schedule": {"initial": 0.08, "decay": 0.98},
    "short_term_steps": 5,
    "long_term_epochs": 2,
    "batch_size": 32,
    "seed": SEED,
}


class DemoFailed(Exception):
    """One of the demo's promises did not hold, or the service failed."""


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What came back over REST: the two ONNX files and the search's own account."""

    original: Path
    final: Path
    job: Mapping[str, Any]
    iterations: int
    kept: Mapping[str, float]  # share of its filters that each prunable group keeps


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the service ends with us
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="netadapt-demo-") as name:
        try:
            result = run(Path(name), start)
        except (DemoFailed, NetAdaptError, ServiceDidNotStart) as error:
            print(f"demo failed: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("demo interrupted", file=sys.stderr)
            return 1
    print(json.dumps(result))
    return 0


def run(folder: Path, start: float) -> dict[str, Any]:
    """The demo, step by step; raises DemoFailed when a promise does not hold."""
    print("1. A network of the MobileNetV2 type learns scikit-learn's digits, enlarged to 64 x 64", flush=True)
    digits = demo_network.enlarged_digits(SEED)
    network = demo_network.train(digits, epochs=EPOCHS, seed=SEED, report=_report_epoch)
    accuracy = demo_network.accuracy(network, digits.x_test, digits.y_test)
    print(f"   test accuracy {accuracy:.2%}; exported with torch.export.save", flush=True)
    demo_network.export(network, folder / "digits.pt2")
    digits.save(folder / "digits.npz")

    print(f"2. The service shrinks it to {BUDGET:.0%} of its latency", flush=True)
    with live_service(folder) as address, Client(address) as client:
        adapted = adapt(client, folder)

    print("3. Original and adapted file side by side in onnxruntime, one thread, batch 1", flush=True)
    images = demo_network.normalised(digits.x_test).numpy()
    timing = compare(adapted.original, adapted.final, images[:1])
    scores = [accuracy_of(file, images, digits.y_test) for file in (adapted.original, adapted.final)]
    report(adapted, timing, original=scores[0], final=scores[1])
    check(adapted, timing, drop=scores[0] - scores[1])
    latency_ms = {
        "original": timing.first_ms,
        "budget": timing.first_ms * BUDGET,
        "adapted": timing.first_ms * timing.ratio,
    }
    return {
        "demo": "ok",
        "latency_ms": {name: round(value, 4) for name, value in latency_ms.items()},
        "accuracy": {"original": round(scores[0], 4), "adapted": round(scores[1], 4)},
        "iterations": adapted.iterations,
        "seconds": round(time.monotonic() - start, 1),
    }


def adapt(client: Client, folder: Path) -> Adapted:
    """One call with both files, followed to its end; then the two checkpoints as ONNX."""
    job = client.submit(
        folder / "digits.pt2",
        dataset=folder / "digits.npz",
        budget={"latency_ms": f"{BUDGET:.0%}"},
        settings=SETTINGS,
        name="demo",
    )
    if not follow(client, job["id"], as_json=False):
        raise DemoFailed(f"job {job['id']} did not succeed")
    job = client.jobs.get(job["id"])
    filters = {each["checkpoint"]: each["filters"] for each in client.checkpoints(job["id"])}
    groups = client.models.get(job["model"])["groups"]
    if groups is None:
        raise DemoFailed(f"model {job['model']} was adapted, and names no channel groups")
    return Adapted(
        original=client.download(job["id"], folder / "original.onnx", checkpoint=0),
        final=client.download(job["id"], folder / "adapted.onnx"),
        job=job,
        iterations=sum(1 for _ in client.iterations(job["id"])),
        kept={
            group["id"]: filters["final"].get(group["id"], group["channels"]) / group["channels"]
            for group in groups
            if group["prunable"]
        },
    )


def report(adapted: Adapted, timing: Comparison, *, original: float, final: float) -> None:
    low, high = timing.ratio_quartiles
    shares = ", ".join(f"{group} {share:.0%}" for group, share in adapted.kept.items())
    print(f"   latency   {timing.first_ms:.3f} ms -> {timing.first_ms * timing.ratio:.3f} ms")
    print(
        f"   ratio     {timing.ratio:.3f} (quartiles {low:.3f} to {high:.3f}, {timing.rounds} interleaved rounds of "
        f"{timing.runs} runs); budget {BUDGET:.2f}, tolerance {TOLERANCE:.0%}"
    )
    print(f"   accuracy  {original:.2%} -> {final:.2%} on the test images, one at a time in onnxruntime")
    print(f"   search    {adapted.iterations} iterations over {len(adapted.kept)} prunable groups; kept: {shares}")
    if timing.first_ms < 1.0:
        print("   (on this machine the original takes less than 1 ms: its timings are rougher than they should be)")


def check(adapted: Adapted, timing: Comparison, *, drop: float) -> None:
    """Raises DemoFailed with the first promise that does not hold."""
    spread = max(adapted.kept.values()) - min(adapted.kept.values())
    promises = {
        f"the ratio {timing.ratio:.3f} is over the budget {BUDGET} x {1 + TOLERANCE}": timing.ratio
        <= BUDGET * (1 + TOLERANCE),
        f"{drop:.2%} of accuracy lost, more than {LARGEST_DROP:.0%}": drop <= LARGEST_DROP,
        f"only {adapted.iterations} iterations": adapted.iterations >= LEAST_ITERATIONS,
        f"the groups keep nearly equal shares (spread {spread:.2f})": spread >= LEAST_SPREAD,
    }
    for failure, holds in promises.items():
        if not holds:
            raise DemoFailed(failure)


def _report_epoch(epoch: int, loss: float) -> None:
    print(f"   epoch {epoch} of {EPOCHS}: loss {loss:.3f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
