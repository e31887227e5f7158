"""What the same search takes as tasks of a Ray cluster, against processes, on the same cores of one machine.

`make bench NAME=scaling_ray` writes docs/results/scaling_ray.md. Two searches go the same iterations by turns, in
processes and on a cluster that is started here, and have to pick the same; the one whose turn it is not waits. The
first iteration starts processes or cluster and is told apart. Ends with 1 when the bar is missed.
"""

import argparse
import json
import os
import statistics
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

import torch

from benchmarks.overhead import ARCHITECTURE, SETTINGS
from benchmarks.results import write_page
from benchmarks.searches import Search, search_on

BAR = 0.85


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--iterations", type=int, default=4, help="timed ones, after one that is not")
    arguments.add_argument("--images", type=int, default=1200)
    arguments.add_argument("--steps", type=int, default=SETTINGS["short_term_steps"], help="of each candidate")
    asked = arguments.parse_args()
    line, rows = ray_against_processes(asked.iterations, asked.images, asked.steps)
    line = {"bench": "scaling_ray", **line}
    write_page("scaling_ray", __doc__ or "", rows, line)
    print(json.dumps(line))
    return 0 if line["met"] else 1


def ray_against_processes(timed: int, images: int, steps: int) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """The figures, and a row for each iteration but the first."""
    cores = sorted(os.sched_getaffinity(0))
    settings = {**SETTINGS, "short_term_steps": steps}
    with ExitStack() as stack:
        processes, on_ray = (
            stack.enter_context(search_on(cores, ARCHITECTURE, images, {**settings, "executor": executor}))
            for executor in ("processes", "ray")
        )
        first, *pairs = [_pair(processes, on_ray, turn) for turn in range(timed + 1)]
    share = statistics.median(pair["share"] for pair in pairs)
    return {
        "met": share >= BAR,
        "share_of_processes": share,
        "bar": BAR,
        "spread": [min(pair["share"] for pair in pairs), max(pair["share"] for pair in pairs)],
        "conditions": {
            "architecture": ARCHITECTURE,
            "images": images,
            "steps": steps,
            "cores": len(cores),
            "iterations": timed,
            "first_iteration_s": {"processes": first["processes_s"], "ray": first["ray_s"]},
            "torch": torch.__version__,
            "ray": version("ray"),
            "load": round(os.getloadavg()[0], 1),
        },
    }, pairs


def _pair(processes: Search, on_ray: Search, turn: int) -> dict[str, float]:
    """One iteration of each; who goes first alternates."""
    order = (processes, on_ray) if turn % 2 == 0 else (on_ray, processes)
    steps = {id(search): search.settled() if turn else search.iterate() for search in order}
    ours, theirs = steps[id(processes)], steps[id(on_ray)]
    if (ours.picked, ours.iteration) != (theirs.picked, theirs.iteration):
        raise RuntimeError(f"iteration {ours.iteration} picked {ours.picked} in processes, {theirs.picked} on Ray")
    return {
        "iteration": ours.iteration,
        "candidates": len(ours.candidates),
        "processes_s": round(ours.seconds, 2),
        "ray_s": round(theirs.seconds, 2),
        "share": round(ours.seconds / theirs.seconds, 3),
    }


if __name__ == "__main__":
    raise SystemExit(main())
