"""What a second process gains, and what an iteration costs as the network and the data set grow.

`make bench NAME=scaling` writes docs/results/scaling.md. One search on one core and one on all of them go the same
iterations by turns; in between plain loops of torch train the same pruned networks, one loop and then one a core
(benchmarks/bare_loop.py). What the processes gain is told as a share of what the bare loops gain. The networks of the
second table train for a step only: it is about what is done beside the training. Ray against processes is a bench of
its own, scaling_ray.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from benchmarks.bare_loop import arithmetic, bare_loops
from benchmarks.overhead import ARCHITECTURE, SETTINGS
from benchmarks.results import write_page
from benchmarks.searches import Search, on_cores, random_images, search_on, searching, zoo_network

BAR = 0.9
STEPS = 4  # of a candidate: a second search and four loops train as much again
NETWORKS = ("squeezenet1_1_64", "mobilenet_v1_0.25_32", "mobilenet_v2_0.35_32", "efficientnet_b0_32", "densenet121_32")
DATA_SETS = (1_000, 10_000, 50_000)  # images
GROWTH = {**SETTINGS, "short_term_steps": 1, "batch_size": 16, "batch_norm_batches": 1}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--iterations", type=int, default=2, help="timed ones, after one that is not")
    arguments.add_argument("--images", type=int, default=1200)
    arguments.add_argument("--no-growth", action="store_true", help="leaves out the second table")
    asked = arguments.parse_args()
    rows = _processes(asked.iterations, asked.images)
    share = statistics.median(row["share"] for row in rows)
    line: dict[str, Any] = {
        "bench": "scaling",
        "met": share >= BAR,
        "share_of_bare_gain": share,
        "bar": BAR,
        "growth": [] if asked.no_growth else list(_growth()),
        "conditions": {
            "architecture": ARCHITECTURE,
            "images": asked.images,
            "steps": STEPS,
            "cores": len(os.sched_getaffinity(0)),
            "torch": torch.__version__,
            "load": round(os.getloadavg()[0], 1),
        },
    }
    write_page("scaling", __doc__ or "", rows, line)
    print(json.dumps(line))
    return 0 if line["met"] else 1


def _processes(timed: int, images: int) -> list[dict[str, float]]:
    cores, settings = sorted(os.sched_getaffinity(0)), {**SETTINGS, "short_term_steps": STEPS}
    with ExitStack() as stack:
        alone = stack.enter_context(search_on(cores[:1], ARCHITECTURE, images, settings))
        together = stack.enter_context(search_on(cores, ARCHITECTURE, images, settings))
        with bare_loops(together.data, together.settings, cores) as loops:
            return [_pair(alone, together, loops, cores, turn) for turn in range(timed + 1)][1:]


def _pair(alone: Search, together: Search, loops: Any, cores: list[int], turn: int) -> dict[str, float]:
    """The same iteration on one core and on all, and its arithmetic in one loop and in all."""
    with on_cores(cores[:1]):
        one = alone.settled()
    all_of_them = together.settled()
    if (one.picked, one.iteration) != (all_of_them.picked, all_of_them.iteration):
        raise RuntimeError(f"iteration {one.iteration} picked {one.picked} on one core, {all_of_them.picked} on all")
    bare_all = arithmetic(all_of_them, together, loops)["whole"]
    bare_one = arithmetic(all_of_them, together, loops[:1])["whole"]
    gain, bare_gain = one.seconds / all_of_them.seconds, bare_one / bare_all
    return {
        "iteration": one.iteration,
        "one_process_s": round(one.seconds, 2),
        "all_processes_s": round(all_of_them.seconds, 2),
        "gain": round(gain, 3),
        "one_loop_s": round(bare_one, 2),
        "all_loops_s": round(bare_all, 2),
        "bare_gain": round(bare_gain, 3),
        "share": round(gain / bare_gain, 3),
    }


def _growth() -> Iterator[dict[str, Any]]:
    for name in NETWORKS:
        yield _cost(name, 512)
    for images in DATA_SETS:
        yield _cost(ARCHITECTURE, images)


def _cost(name: str, images: int) -> dict[str, Any]:
    network = zoo_network(name)
    with (
        tempfile.TemporaryDirectory(prefix="netadapt-scaling-") as folder,
        searching(
            network,
            random_images(images, network.graph.input_shape),
            Path(folder),
            budget={"macs": "50%"},
            settings=GROWTH,
        ) as search,
    ):
        first, step = search.iterate(), search.settled()
        return {
            "architecture": name,
            "groups": len(search.groups),
            "images": images,
            "proposals": len(step.candidates) - 1,
            "chosen_s": round(step.chosen_s, 3),
            "training_s": round(step.trained_s - step.chosen_s, 2),
            "after_training_s": round(step.seconds - step.trained_s, 2),
            "first_iteration_s": round(first.seconds, 2),
        }


if __name__ == "__main__":
    raise SystemExit(main())
