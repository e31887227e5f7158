"""Two ONNX files in one interleaved session with onnxruntime: a measurement that owes nothing to `adapt`."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

ROUNDS = 60
RUNS = 12  # of one file in a round: some 15 ms, short against the machine's drift
WARM_UP_RUNS = 50


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Medians in milliseconds, batch 1, one thread. `ratio` is the median over rounds of second / first."""

    first_ms: float
    second_ms: float
    ratio: float
    ratio_quartiles: tuple[float, float]
    rounds: int
    runs: int


def session_of(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def compare(first: Path, second: Path, image: NDArray[np.float32]) -> Comparison:
    """Times both on `image` [1, C, H, W], in turns, so that whatever disturbs the machine disturbs both."""
    sessions = [session_of(first), session_of(second)]
    for session in sessions:
        _times_ms(session, image, WARM_UP_RUNS)
    medians: tuple[list[float], list[float]] = ([], [])
    for turn in range(ROUNDS):
        for index in (0, 1) if turn % 2 == 0 else (1, 0):
            medians[index].append(statistics.median(_times_ms(sessions[index], image, RUNS)))
    ratios = [adapted / original for original, adapted in zip(*medians, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return Comparison(
        first_ms=statistics.median(medians[0]),
        second_ms=statistics.median(medians[1]),
        ratio=middle,
        ratio_quartiles=(low, high),
        rounds=ROUNDS,
        runs=RUNS,
    )


def accuracy_of(file: Path, images: NDArray[np.float32], labels: Sequence[int] | NDArray[np.int64]) -> float:
    """The share of `images` [n, C, H, W] that the file classifies as `labels`, one image at a time."""
    session = session_of(file)
    name = session.get_inputs()[0].name
    found = [int(session.run(None, {name: image[None]})[0].argmax()) for image in images]
    return float(np.mean(np.asarray(found) == np.asarray(labels)))


def _times_ms(session: onnxruntime.InferenceSession, image: NDArray[np.float32], runs: int) -> list[float]:
    feed = {session.get_inputs()[0].name: image}
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        session.run(None, feed)
        times.append((time.perf_counter() - start) * 1e3)
    return times
