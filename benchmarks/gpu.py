"""The search on a GPU: an iteration against bare loops.

`make bench NAME=gpu` writes docs/results/gpu.md. Exits with 2 where there is no CUDA. It is benchmarks/overhead.py with
`device: cuda`: one candidate after the other, and as many in flight as memory and cores allow, each against as many
plain loops. The trade-off on a GPU is `python -m benchmarks.tradeoff --device cuda`.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.bare_loop import arithmetic, bare_loops
from benchmarks.overhead import PROPOSALS, SETTINGS
from benchmarks.results import write_page
from benchmarks.searches import on_cores, random_images, searching, zoo_network

ARCHITECTURES = ("mobilenet_v1_0.50_32", "mobilenet_v2_96")
TIMED = 1
LONG_ENOUGH_S = 70.0  # then no further row is begun


def main() -> int:
    if not torch.cuda.is_available():
        print("no CUDA here: nothing was measured", file=sys.stderr)
        return 2
    began = time.monotonic()
    rows: list[dict[str, Any]] = []
    for architecture in ARCHITECTURES:
        for processes in (1, 0):
            if time.monotonic() - began < LONG_ENOUGH_S:
                rows.append(_overhead(architecture, processes))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    line = {
        "bench": "gpu",
        "overhead": rows,
        "conditions": {
            "gpu": torch.cuda.get_device_name(),
            "gpu_memory_gb": round(torch.cuda.mem_get_info()[1] / 2**30, 1),
            "cores": len(os.sched_getaffinity(0)),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "proposals": PROPOSALS,
            "settings": SETTINGS,
            "precision": "bfloat16 in training steps, float32 elsewhere",
            "seconds": round(time.monotonic() - began),
        },
    }
    write_page("gpu", __doc__ or "", rows, line)
    print(json.dumps(line))
    return 0


def _overhead(architecture: str, processes: int) -> dict[str, Any]:
    """`processes` 0: as many in flight as there is room for."""
    network, cores = zoo_network(architecture), sorted(os.sched_getaffinity(0))
    cores = cores[: processes or len(cores)]  # a search has at most as many processes as its own has cores
    with (
        tempfile.TemporaryDirectory(prefix="netadapt-gpu-") as folder,
        on_cores(cores),
        searching(
            network,
            random_images(2340, network.graph.input_shape),
            Path(folder),
            budget={"macs": "30%"},
            settings={**SETTINGS, "device": "cuda"},
        ) as search,
        bare_loops(search.data, search.settings, cores[: search.processes]) as loops,
    ):
        first = search.iterate()
        arithmetic(first, search, loops)
        steps = [search.settled() for _ in range(TIMED)]
        bare = [arithmetic(step, search, loops) for step in steps]
    wall, whole = (sum(values) / TIMED for values in ([s.seconds for s in steps], [b["whole"] for b in bare]))
    return {
        "architecture": architecture,
        "in_flight": search.processes,
        "candidates": len(steps[0].candidates),
        "wall_s": round(wall, 3),
        "arithmetic_s": round(whole, 3),
        "wall_over_arithmetic": round(wall / whole, 3),
        "before_training_s": round(sum(step.chosen_s for step in steps) / TIMED, 3),
        "after_training_s": round(sum(step.seconds - step.trained_s for step in steps) / TIMED, 3),
        "first_iteration_s": round(first.seconds, 2),
    }


if __name__ == "__main__":
    raise SystemExit(main())
