"""An iteration's wall time against the bare arithmetic of the same steps, in the same run and on the same cores.

`make bench NAME=overhead` writes docs/results/overhead.md. A search goes the
worker's own way (database, files of each pick, processes); after each iteration plain loops of torch train the same
pruned networks on the same batches, one loop a core (benchmarks/bare_loop.py). The first iteration starts the processes
and is told apart. The last line is one JSON object; ends with 1 when a bar is missed.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.bare_loop import arithmetic, bare_loops
from benchmarks.memory_in_flight import memory_in_flight
from benchmarks.results import write_page
from benchmarks.searches import Step, random_images, searching, zoo_network

BAR, MEMORY_BAR = 1.25, 1.3
ARCHITECTURE, PROPOSALS = "mobilenet_v1_0.50_32", 14
SETTINGS = {
    "short_term_steps": 10,
    "batch_size": 128,
    "executor": "processes",
    "allow_low_accuracy": True,
    "final": "none",
    "schedule": {"initial": 0.03, "decay": 1.0},
}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--iterations", type=int, default=3, help="timed ones, after one that is not")
    arguments.add_argument("--images", type=int, default=2340, help="random ones; a quarter of 7/8 is the hold-out")
    arguments.add_argument("--no-memory", action="store_true", help="leaves out MobileNetV2 at 224 pixels")
    asked = arguments.parse_args()
    rows, conditions = _iterations(asked.iterations, asked.images)
    if not rows:
        print("no iteration had a proposal of each group: nothing was measured", file=sys.stderr)
        return 2
    ratio = statistics.median(row["wall_over_arithmetic"] for row in rows)
    line: dict[str, Any] = {
        "bench": "overhead",
        "met": ratio <= BAR,
        "wall_over_arithmetic": ratio,
        "bar": BAR,
        "wall_over_steps_and_evaluation": statistics.median(row["wall_over_steps_and_evaluation"] for row in rows),
        "iterations": rows,
    }
    if not asked.no_memory:
        line["memory"] = memory_in_flight()
        line["memory"]["bar"] = MEMORY_BAR
        line["met"] = line["met"] and line["memory"]["ratio"] <= MEMORY_BAR
    line["conditions"] = conditions
    write_page("overhead", __doc__ or "", rows, line)
    print(json.dumps(line))
    return 0 if line["met"] else 1


def _iterations(timed: int, images: int) -> tuple[list[dict[str, float]], dict[str, Any]]:
    network = zoo_network(ARCHITECTURE)
    cores = sorted(os.sched_getaffinity(0))
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="netadapt-overhead-") as folder,
        searching(
            network,
            random_images(images, network.graph.input_shape),
            Path(folder),
            budget={"macs": "30%"},
            settings=SETTINGS,
        ) as search,
        bare_loops(search.data, search.settings, cores) as loops,
    ):
        first = search.iterate()
        arithmetic(first, search, loops)
        for _ in range(timed):
            step = search.settled()
            if len(step.candidates) != PROPOSALS + 1:  # nor will one have later: some group is at its smallest
                print(f"iteration {step.iteration} ends it: not every group has a proposal", file=sys.stderr)
                break
            rows.append(_row(step, arithmetic(step, search, loops)))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        conditions = {
            "architecture": ARCHITECTURE,
            "proposals": PROPOSALS,
            "steps": search.settings.short_term_steps,
            "batch": search.settings.batch_size,
            "training_images": len(search.data.train),
            "holdout_images": len(search.data.holdout),
            "batch_norm_batches": search.settings.batch_norm_batches,
            "processes": len(cores),
            "first_iteration_s": round(first.seconds, 2),
            "cpu": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "load": round(os.getloadavg()[0], 1),
        }
    return rows, conditions


def _row(step: Step, bare: Any) -> dict[str, float]:
    return {
        "iteration": step.iteration,
        "wall_s": round(step.seconds, 3),
        "arithmetic_s": round(bare["whole"], 3),
        "wall_over_arithmetic": round(step.seconds / bare["whole"], 3),
        "steps_and_evaluation_s": round(bare["steps_and_evaluation"], 3),
        "wall_over_steps_and_evaluation": round(step.seconds / bare["steps_and_evaluation"], 3),
        "before_training_s": round(step.chosen_s, 3),
        "after_training_s": round(step.seconds - step.trained_s, 3),
    }


if __name__ == "__main__":
    raise SystemExit(main())
