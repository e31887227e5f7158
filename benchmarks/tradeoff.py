"""Latency against accuracy: NetAdapt beside a width multiplier and Torch-Pruning, on images rendered by a program.

First what the bars count (two networks, 50 %, three seeds, ours and two baselines named beforehand), then the rest.
What was computed is kept in a folder by the hash of its configuration: interrupted at any time, the next run goes on.
At the end all networks are measured in one session, each in turns with its original. The last line is one JSON object;
table and figure go to docs/results/.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cache, partial
from itertools import chain, repeat
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, Literal, get_args

from adapt.data.dataset import Dataset
from adapt.errors import AdaptError, Stopped
from adapt.graph.network import Graph
from adapt.graph.pruning import ChannelGroup
from adapt.groups import channel_groups
from adapt.latency.conditions import Conditions
from adapt.latency.local_device import LocalDevice
from adapt.latency.machine_lock import MachineLock, default_directory
from adapt.latency.reading import Plan
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.spec import DeviceName
from adapt.zoo.initial import initial_network
from benchmarks.cells import Cells, Found
from benchmarks.tradeoff_baselines import BASELINES, baseline, cut_method, cut_to
from benchmarks.tradeoff_images import rendered_glyphs
from benchmarks.tradeoff_networks import COUNTED, NETWORKS
from benchmarks.tradeoff_report import COUNTED_BUDGET, NAMED, OURS, Missing, Point, figure, lead, speed_up, table
from benchmarks.tradeoff_search import VARIANTS, WAYPOINTS, adapted, searched, total_steps
from benchmarks.tradeoff_study import SETTINGS, NotThere, Subject, images_about, look_up_table, measured, original

SEEDS = (0, 1, 2)
DATA_SEED = 0
METHODS = (*VARIANTS, *BASELINES)
SESSION = Plan(minimum_s=1.5, maximum_s=4.0)
RESULTS = Path(__file__).parent.parent / "docs" / "results"
CACHE = Path(".bench-cache") / "tradeoff"
NOT_YET = "not run yet"
ABOUT = """By `{command}`, on images that a program renders (glyphs of strokes under clutter, noise and
occlusion). Accuracy is on the test set, which nothing was chosen by; spread is the lowest and the highest seed.
Latency is a share of the original's, each network measured in turns with it in one session at the end (onnxruntime on
the processor, one thread, batch 1); every method was cut until it was within the budget by its own measurement.
Training steps come after the original's: ours count every step of every proposal and control up to that budget and
the long-term fine-tune; each baseline fine-tunes for as many, rounded up to whole epochs, and the width multiplier's
network from scratch trains as long as the original and these together. The conditions are below the table."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One cell of the table."""

    network: str
    seed: int
    method: str
    budget: float

    def __str__(self) -> str:
        return f"{self.network}/{self.seed}/{self.method}/{self.budget:.0%}"


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What one process computes, one after the other: originals, searches and cuts that others build on, then
    cells. What it does not find in `folder` it computes: two must not lack the same at once."""

    step: Literal["original", "search", "cut", "cell"]
    cells: Sequence[Wanted]


@dataclass(frozen=True, kw_only=True)
class How:
    """Of all errands. `place` says where it is measured, `base` are job settings; until when (time.time)."""

    folder: Path
    place: str
    base: Mapping[str, Any]
    until: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.apart and not 1 < asked.jobs <= len(os.sched_getaffinity(0)):
        parser.error("--apart gives each of several processes a core: --jobs is from 2 to as many as there are")
    began, load = time.time(), os.getloadavg()[0]
    wanted = [cell for cell in everything() if any(fnmatch(str(cell), pattern) for pattern in asked.only or ["*"])]
    conditions = _conditions()
    how = How(
        folder=asked.cache,
        place=conditions.fingerprint(),
        base={**SETTINGS, **({} if asked.device == "cpu" else {"device": asked.device})},
        until=began + asked.budget_seconds,
    )
    reasons = _compute(wanted, how, asked.jobs, apart=asked.apart)
    points, missing = _measure(wanted, replace(how, until=float("inf")), reasons)
    print(table(points, missing))
    left_out = len(everything()) - len(wanted)
    further = {
        "not_asked_for": left_out,
        "jobs": asked.jobs,
        "apart": asked.apart,
        "load_average": round(load, 1),
        "seconds": round(time.time() - began),
    }
    result = _result(points, missing, conditions, how, further)
    if points:
        _write(asked.results, asked.device, left_out, points, missing, result)
    print(json.dumps(result))
    return 0 if result["within"] else 1


def everything() -> list[Wanted]:
    """In the order in which it is computed: what the bars count, the other methods and budgets, the other networks."""
    counted = [
        Wanted(network=network, seed=seed, method=method, budget=COUNTED_BUDGET)
        for seed in SEEDS
        for network in COUNTED
        for method in (OURS, *NAMED)
    ]
    rest = [
        Wanted(network=network, seed=seed, method=method, budget=budget)
        for network in NETWORKS
        for budget in WAYPOINTS
        for method in METHODS
        for seed in SEEDS
    ]
    return list(dict.fromkeys([*counted, *rest]))


def counted_are_there(points: Iterable[Point]) -> bool:
    there = {(p.network, p.seed, p.method, p.budget) for p in points}
    return all((n, s, m, COUNTED_BUDGET) in there for n in COUNTED for s in SEEDS for m in (OURS, *NAMED))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.tradeoff", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        help="cells network/seed/method/budget by a glob, such as 'resnet18*/0/*/50%%'; may be repeated (default: all)",
    )
    parser.add_argument(
        "--budget-seconds", type=float, default=float("inf"), help="compute until then; what is there is still measured"
    )
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: cores)")
    parser.add_argument(
        "--apart",
        action="store_true",
        help="each process on a core of its own, measuring while the others train: for machines whose cores nobody "
        "else uses; the one session at the end still has the machine to itself",
    )
    parser.add_argument("--device", choices=get_args(DeviceName), default="cpu", help="trains (default: %(default)s)")
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="folder of the results there are (default: %(default)s)"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of table and figure")
    return parser


def _compute(wanted: Sequence[Wanted], how: How, jobs: int, *, apart: bool) -> dict[Wanted, str]:
    """Why cells are missing; all others are in the cache afterwards. What the bars count comes first."""
    with closing(Bench(how)) as bench:
        try:
            for network, seed in {cell.network: cell.seed for cell in wanted}.items():
                look_up_table(bench.subject(network, seed))  # shared by all seeds, and nothing of ours runs beside it
        except Stopped:
            return dict.fromkeys(wanted, NOT_YET)
    counted = [cell for cell in wanted if _is_counted(cell)]
    others = [cell for cell in wanted if not _is_counted(cell)]
    waves = [wave for cells in (counted, others) for wave in _waves(cells)]
    reasons: dict[Wanted, str] = {}
    if jobs == 1:
        for errand in chain.from_iterable(waves):
            reasons |= run(errand, how)
        return reasons
    context = get_context("spawn")
    cores: Queue[int] = context.Queue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)
    settle = partial(_settle_apart, cores) if apart else None
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=settle) as pool:
        for wave in waves:
            for found in pool.map(run, wave, repeat(how)):
                reasons |= found
    return reasons


def _is_counted(cell: Wanted) -> bool:
    return cell.network in COUNTED and cell.method in (OURS, *NAMED) and cell.budget == COUNTED_BUDGET


def _waves(cells: Sequence[Wanted]) -> Iterator[list[Errand]]:
    """Errands that may run side by side, wave after wave."""
    if not cells:
        return
    originals = {(cell.network, cell.seed): cell for cell in cells}
    yield [Errand(step="original", cells=[cell]) for cell in originals.values()]
    searches: dict[tuple[str, int, str], list[Wanted]] = {}
    for cell in cells:
        one = cell if cell.method in VARIANTS else replace(cell, method=OURS)  # baselines train for as many steps
        searches.setdefault((one.network, one.seed, one.method), []).append(one)
    # Both width multipliers share a cut.
    cuts = {(c.network, c.seed, cut_method(c.method), c.budget): c for c in cells if c.method not in VARIANTS}
    yield [
        *(Errand(step="search", cells=list(dict.fromkeys(each))) for each in searches.values()),
        *(Errand(step="cut", cells=[cell]) for cell in cuts.values()),
    ]
    yield [Errand(step="cell", cells=[cell]) for cell in cells]


def _settle_apart(cores: "Queue[int]") -> None:
    """This process has a core of its own, and measures without halting the others."""
    core = cores.get()
    os.sched_setaffinity(0, {core})
    own = Path(tempfile.gettempdir()) / f"netadapt-tradeoff-core-{core}"
    own.mkdir(exist_ok=True)
    tempfile.tempdir = str(own)  # where the machine's lock lies


def run(errand: Errand, how: How) -> dict[Wanted, str]:
    """Computes an errand; answers why cells are missing."""
    reasons = {}
    with closing(Bench(how)) as bench:
        for cell in errand.cells:
            try:
                bench.compute(errand.step, cell)
            except Stopped:
                reasons[cell] = NOT_YET
            except (AdaptError, NotThere) as error:
                reasons[cell] = str(error)
    # What others build on is tried again by each of them, and told there.
    return reasons if errand.step == "cell" else {}


@cache
def rendered() -> Dataset:
    return rendered_glyphs(seed=DATA_SEED)


@cache
def graph_of(network: str) -> Graph:
    return NETWORKS[network]()


@cache
def groups_of(network: str) -> tuple[ChannelGroup, ...]:
    return channel_groups(initial_network(graph_of(network), 0))


class Bench:
    """What is known of each cell; what is not is computed on the way."""

    def __init__(self, how: How) -> None:
        self._cells, self._how = Cells(how.folder), how
        self._lock = MachineLock(default_directory())
        self._device = LocalDevice(RuntimeChoice(), self._lock)

    def close(self) -> None:
        self._device.close()

    def subject(self, network: str, seed: int) -> Subject:
        return Subject(
            name=network,
            seed=seed,
            graph=graph_of(network),
            groups=groups_of(network),
            images=rendered(),
            base=self._how.base,
            cells=self._cells,
            device=self._device,
            place=self._how.place,
            lock=self._lock,
            stop=lambda: time.time() > self._how.until,
        )

    def compute(self, step: str, cell: Wanted) -> None:
        """Raises what `found` raises."""
        subject = self.subject(cell.network, cell.seed)
        if step == "original":
            original(subject)
        elif step == "search":
            searched(subject, cell.method, cell.budget)
        elif step == "cut":
            cut_to(subject, cut_method(cell.method), cell.budget)
        else:
            self.found(cell)

    def found(self, cell: Wanted) -> Found:
        """Raises Stopped when the time is up, AdaptError or NotThere when the method cannot do it."""
        subject = self.subject(cell.network, cell.seed)
        if cell.method in VARIANTS:
            return adapted(subject, cell.method, cell.budget)
        return baseline(subject, cell.method, cell.budget, total_steps(subject, OURS, cell.budget))

    def point(self, cell: Wanted) -> Point:
        """Measured beside its original, now."""
        found, unpruned = self.found(cell), original(self.subject(cell.network, cell.seed))
        ratio = measured(self.subject(cell.network, cell.seed), found.network, unpruned.network, SESSION).ratio
        return Point(
            network=cell.network,
            seed=cell.seed,
            method=cell.method,
            budget=cell.budget,
            accuracy=found.values["test"],
            ratio=ratio,
            steps=found.values["total_steps"],
        )

    def original_point(self, network: str, seed: int) -> Point:
        accuracy = original(self.subject(network, seed)).values["test"]
        return Point(network=network, seed=seed, method="original", budget=1, accuracy=accuracy, ratio=1, steps=0)


def _measure(wanted: Sequence[Wanted], how: How, reasons: Mapping[Wanted, str]) -> tuple[list[Point], list[Missing]]:
    """One session for all that is there."""
    there = [cell for cell in wanted if cell not in reasons]
    with closing(Bench(how)) as bench:
        points = [bench.point(cell) for cell in there]
        points += [bench.original_point(*pair) for pair in dict.fromkeys((cell.network, cell.seed) for cell in there)]
    missing = [Missing(**vars(cell), reason=reason) for cell, reason in reasons.items()]
    return points, missing


def _result(
    points: Sequence[Point], missing: Sequence[Missing], conditions: Conditions, how: How, further: Mapping[str, Any]
) -> dict[str, Any]:
    leads = {f"ours_minus_{name}": lead(points, name) for name in NAMED}
    quicker = speed_up(points)
    complete = counted_are_there(points)
    return {
        "bench": "tradeoff",
        "within": complete and all(one["met"] for one in leads.values()) and quicker["met"] is True,
        "counted_part_complete": complete,
        "at_50_percent": leads,
        "speed_up_at_the_width_multipliers_accuracy": quicker,
        "original": {
            network: [round(p.accuracy, 4) for p in points if p.network == network and p.method == "original"]
            for network in dict.fromkeys(p.network for p in points)
        },
        "cells": len(points),
        "missing": len(missing),
        "conditions": {
            **conditions.to_json(),
            "images": images_about(rendered()),
            "settings": dict(how.base),
            "session": SESSION.to_document(),
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            **further,
        },
    }


def _conditions() -> Conditions:
    """Of every measurement."""
    with closing(LocalDevice(RuntimeChoice(), MachineLock(default_directory()))) as device:
        return device.conditions


def _write(
    folder: Path,
    device: str,
    left_out: int,
    points: Sequence[Point],
    missing: Sequence[Missing],
    result: Mapping[str, Any],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name, command = "tradeoff", "make bench NAME=tradeoff"
    if device == "cuda":
        name, command = "tradeoff_gpu", "python -m benchmarks.tradeoff --device cuda"
    about = ABOUT.format(command=command)
    if left_out:
        about += f"\n\nMissing as well, since `--only` left them out: {left_out} of {len(everything())} cells."
    figure(points, folder / f"{name}.svg")
    (folder / f"{name}.md").write_text(
        f"# Latency against accuracy\n\n{about}\n\n{table(points, missing)}\n\n"
        f"![Latency against accuracy]({name}.svg)\n\n```json\n{json.dumps(result, indent=1)}\n```\n"
    )


if __name__ == "__main__":
    sys.exit(main())
