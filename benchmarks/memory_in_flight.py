"""Peak memory of a proposal in flight against plain training of the same network: MobileNetV2 at 224 pixels, batch 64.

Both are processes of their own; a peak is what the kernel says was resident at most (VmHWM), libraries included.
"""

import multiprocessing
import re
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from adapt.executors.contract import Candidate, Failure
from adapt.executors.processes import ProcessExecutor
from adapt.executors.task import TrainingTask
from adapt.graph.pruning import all_kept
from adapt.groups import channel_groups
from adapt.spec import Settings, default_normalization
from adapt.stop import never
from benchmarks.searches import random_images, zoo_network

ARCHITECTURE, BATCH, STEPS = "mobilenet_v2", 64, 2


def memory_in_flight() -> dict[str, Any]:
    """Megabytes at most, the proposal's (cut by one channel: as large as one gets) and plain training's."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_plain, args=(theirs,))
    process.start()
    plain_mb: float = ours.recv()
    process.join()
    proposal_mb = _proposal()
    return {
        "architecture": ARCHITECTURE,
        "batch": BATCH,
        "steps": STEPS,
        "plain_mb": round(plain_mb),
        "proposal_mb": round(proposal_mb),
        "ratio": round(proposal_mb / plain_mb, 3),
    }


def _plain(connection: Connection) -> None:
    from adapt.modules import build_module

    torch.set_num_threads(1)
    module = build_module(zoo_network(ARCHITECTURE)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(BATCH, 3, 224, 224).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (BATCH,))
    for _ in range(STEPS):
        loss = F.cross_entropy(module(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    connection.send(peak_mb("self"))


def _proposal() -> float:
    from adapt.assembly import fitted_data

    network = zoo_network(ARCHITECTURE)
    groups = tuple(channel_groups(network))
    settings = Settings(batch_size=BATCH, short_term_steps=STEPS, executor="processes", batch_norm_batches=1)
    kept = all_kept(groups)
    cut = next(group.id for group in groups if group.prunable)
    candidate = Candidate(group=cut, kept={**kept, cut: kept[cut][:-1]}, seed=0, learning_rate=0.01)
    dataset = random_images(4 * BATCH, network.graph.input_shape)
    with (
        tempfile.TemporaryDirectory() as folder,
        fitted_data(network, dataset, default_normalization(3), settings) as (_fitted, data),
    ):
        task = TrainingTask(
            original=network.graph, groups=groups, data=data, settings=settings, lock_directory=Path(folder)
        )
        executor = ProcessExecutor(task, workers=1)
        try:
            (result,) = executor.evaluate(network, kept, [candidate], never)
            if isinstance(result, Failure):
                raise RuntimeError(result.reason)
            return peak_mb(str(executor.child_pids[0]))
        finally:
            executor.close()


def peak_mb(process: str) -> float:
    """The most that was resident of a process of this machine that lives."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
