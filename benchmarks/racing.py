"""`make bench NAME=racing`: an exact search against a racing one, in training steps and accuracy, for three seeds.

Both start from the same trained network of each seed, with the same settings, data and budget in mult-adds, so no clock
decides anything. Steps are counted where they are trained: of proposals, controls and networks with several cuts. The
table and figure go to docs/results/; the last line is one JSON object. Ends with 1 when the bar is missed.
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from adapt.assembly import assembled
from adapt.budget import parse_budget
from adapt.data.dataset import Dataset
from adapt.events import CutsJoined, Evaluation, Finished, IterationDone, OriginalEvaluated
from adapt.executors.contract import Candidate, Executor, Failure
from adapt.formats.pt2 import read_pt2
from adapt.graph.network import Network
from adapt.graph.pruning import Kept
from adapt.groups import channel_groups
from adapt.loop import adapt_network
from adapt.presets import effective_settings
from adapt.search import Progress
from adapt.spec import Search, default_normalization
from adapt.stop import Stop, never
from benchmarks.noisy_digits import CHANNELS, RENDERED, SIDE, noisy_digits, trained

BAR, AIM = 2.0, 4.0
"""Times fewer steps than an exact search takes."""
SEEDS = (0, 1, 2)
BUDGET = {"macs": "55%"}
EPOCHS = 20  # of the original
SETTINGS: Mapping[str, Any] = {
    "schedule": {"initial": 0.08, "decay": 0.98},
    "short_term_steps": 24,
    "long_term_epochs": 4,
    "batch_size": 64,
    "round_channels_to": 2,
    "min_channels": 4,
}
RESULTS = Path(__file__).parents[1] / "docs" / "results"


@dataclass
class CountingExecutor:
    """`executor`, and how many steps it has trained."""

    executor: Executor
    steps: int = 0

    def evaluate(
        self, network: Network, before: Kept, candidates: Sequence[Candidate], stop: Stop
    ) -> Generator[Evaluation | Failure, None, None]:
        begun = {each.group: 0 if each.begun is None else each.begun.steps for each in candidates}
        for result in self.executor.evaluate(network, before, candidates, stop):
            if isinstance(result, Evaluation):
                self.steps += result.steps - begun[result.group]
            yield result

    def close(self) -> None:
        self.executor.close()


@dataclass(frozen=True, kw_only=True)
class Searched:
    """One search. Accuracies are on the test part; `steps` are those of lines 5-11, the long-term fine-tune apart."""

    search: Search
    seed: int
    original: float
    accuracy: float
    holdout: float
    macs: float
    steps: int
    iterations: int
    joined: int
    apart: int
    seconds: float


def main() -> int:
    asked = argparse.ArgumentParser(prog="make bench NAME=racing", description=__doc__)
    asked.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    asked.add_argument("--set", default="{}", help="settings of the racing search, as JSON")
    asked.add_argument(
        "--keep", type=Path, help="folder for each seed's figures; those that are there are not run again"
    )
    options = asked.parse_args()
    race = json.loads(options.set)
    found = []
    for seed in options.seeds:
        for one in kept_or_run(options.keep, seed, race):
            print(one, flush=True)
            found.append(one)
    figures = summary(found)
    conditions = {
        "data": f"digits under noise, {SIDE} x {SIDE}, each rendered {RENDERED} times",
        "network": f"separable, channels {list(CHANNELS)}, trained for {EPOCHS} epochs",
        "budget": BUDGET,
        "settings": {**SETTINGS, **race},
        "seeds": list(options.seeds),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
    }
    if tuple(options.seeds) == SEEDS and not race:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "racing.md").write_text(page(found, figures, conditions))
        picture(found, RESULTS / "racing.svg")
    print(json.dumps({"bench": "racing", **figures, "conditions": conditions}))
    return 0 if figures["met"] else 1


def kept_or_run(folder: Path | None, seed: int, race: Mapping[str, Any]) -> list[Searched]:
    """What was kept of the same configuration, or else what is found now, and kept."""
    if folder is None:
        return list(searches(seed, race))
    configuration = json.dumps([dict(SETTINGS), race, BUDGET, EPOCHS, CHANNELS, SIDE, RENDERED, seed])
    path = folder / f"racing-{hashlib.sha256(configuration.encode()).hexdigest()[:16]}.json"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([asdict(one) for one in searches(seed, race)]))
    return [Searched(**one) for one in json.loads(path.read_text())]


def searches(seed: int, race: Mapping[str, Any]) -> Iterator[Searched]:
    """Exact, then racing, from the same trained network."""
    dataset = noisy_digits(seed)
    network = _as_network(trained(dataset, epochs=EPOCHS, seed=seed))
    yield search(network, dataset, "exact", seed, {})
    yield search(network, dataset, "racing", seed, race)


def search(network: Network, dataset: Dataset, kind: Search, seed: int, race: Mapping[str, Any]) -> Searched:
    settings = effective_settings({**SETTINGS, **race, "search": kind, "seed": seed})
    begun = time.monotonic()
    with assembled(
        network,
        channel_groups(network),
        dataset,
        default_normalization(1),
        asked=parse_budget(BUDGET),
        settings=settings,
        meters=lambda images: {},
        lock_directory=None,
        stop=never,
    ) as job:
        counting = CountingExecutor(job.executor)
        events = list(adapt_network(replace(job, executor=counting), Progress()))
    finished = next(event for event in events if isinstance(event, Finished))
    joined = [event for event in events if isinstance(event, CutsJoined)]
    return Searched(
        search=kind,
        seed=seed,
        original=next(event for event in events if isinstance(event, OriginalEvaluated)).test.accuracy,
        accuracy=finished.test.accuracy,
        holdout=finished.holdout.accuracy,
        macs=finished.resources["macs"],
        steps=counting.steps,
        iterations=sum(isinstance(event, IterationDone) for event in events),
        joined=sum(event.adds_up for event in joined),
        apart=sum(not event.adds_up for event in joined),
        seconds=round(time.monotonic() - begun, 1),
    )


def summary(found: Sequence[Searched]) -> dict[str, Any]:
    """Means over the seeds, the spread of the exact ones, and the bar: as accurate but for that spread, in fewer
    steps."""
    by_kind = {kind: [one for one in found if one.search == kind] for kind in ("exact", "racing")}
    exact, racing = by_kind.values()
    accuracies = {kind: [one.accuracy for one in each] for kind, each in by_kind.items()}
    spread = statistics.stdev(accuracies["exact"]) if len(exact) > 1 else 0.0
    lead = statistics.mean(accuracies["racing"]) - statistics.mean(accuracies["exact"])
    fewer = sum(one.steps for one in exact) / sum(one.steps for one in racing)
    return {
        "steps": {"exact": sum(one.steps for one in exact), "racing": sum(one.steps for one in racing)},
        "times_fewer_steps": round(fewer, 2),
        "seconds": {kind: round(sum(one.seconds for one in each), 1) for kind, each in by_kind.items()},
        "accuracy": {kind: round(statistics.mean(each), 4) for kind, each in accuracies.items()},
        "spread_of_exact": round(spread, 4),
        "racing_minus_exact": round(lead, 4),
        "met": fewer >= BAR and lead >= -spread,
        "aim_met": fewer >= AIM and lead >= -spread,
    }


def page(found: Sequence[Searched], figures: Mapping[str, Any], conditions: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    head = ("search", "seed", "original", "accuracy", "hold-out", "steps", "iterations", "joined", "apart", "seconds")
    rows = [
        (
            one.search,
            one.seed,
            *(f"{value:.4f}" for value in (one.original, one.accuracy, one.holdout)),
            *(one.steps, one.iterations, one.joined, one.apart, one.seconds),
        )
        for one in found
    ]
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    return f"""# Racing against an exact search

Written by `make bench NAME=racing`. Accuracies are on the test part, after the long-term fine-tune; steps are those of
proposals, controls and networks with several cuts. *joined* counts the iterations whose cuts added up and were picked
together, *apart* those whose cuts did not.

{table}

![Training steps of the searches against the accuracy of their results](racing.svg)

Racing took {figures["times_fewer_steps"]} times fewer steps (bar {BAR:g}, aim {AIM:g}); its mean accuracy minus that of
the exact searches is {figures["racing_minus_exact"]:+.4f}, and the spread (standard deviation over the seeds) of the
exact ones {figures["spread_of_exact"]:.4f}. The bar is {_met(figures["met"])}, the aim {_met(figures["aim_met"])}.

On {conditions["cores"]} cores the exact searches took {figures["seconds"]["exact"]} s, the racing ones
{figures["seconds"]["racing"]} s. Each begins its processes anew, and ends with a long-term fine-tune; with as few
steps as here a score on the hold-out costs a good part of a proposal, and a race takes one at each rung.

Conditions: `{json.dumps(conditions)}`
"""


def picture(found: Sequence[Searched], path: Path) -> None:
    """Steps against accuracy: a point for each search, a line between the two of a seed."""
    import matplotlib as mpl  # here: it takes a second, and only whoever draws needs it
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "racing"  # names inside the file would be new every time
    canvas = Figure(figsize=(6, 4.5), layout="constrained")
    axes = canvas.add_subplot()
    for seed in sorted({one.seed for one in found}):
        own = [one for one in found if one.seed == seed]
        axes.plot([one.steps for one in own], [one.accuracy for one in own], color="lightgrey", zorder=1)
    for kind in ("exact", "racing"):
        own = [one for one in found if one.search == kind]
        axes.scatter([one.steps for one in own], [one.accuracy for one in own], label=kind, zorder=2)
    axes.set(xlabel="training steps of the search", ylabel="test accuracy of the result", xlim=(0, None))
    axes.legend()
    canvas.savefig(path, metadata={"Date": None})


def _met(met: bool) -> str:
    return "met" if met else "missed"


def _as_network(module: torch.nn.Module) -> Network:
    example, batch = torch.zeros(2, 1, SIDE, SIDE), torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(module, (example,), dynamic_shapes=({0: batch},))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.pt2"
        torch.export.save(program, path)
        return read_pt2(path)


if __name__ == "__main__":
    sys.exit(main())
