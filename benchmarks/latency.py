"""`make bench NAME=latency`: how far predictions and repeated measurements are off, network by network.

`python -m benchmarks.latency mobilenet_v2 resnet18` runs only these. Each network is profiled once, on one thread; then
random prunes that the fit never saw are measured beside the original, twice, and so are cuts of a single group that are
predicted to save about 3 %. Beside the predictions stands what a table of isolated layers says, as the peers build it.
The last line is one JSON object, each figure with its bar; the exit code is 1 when a bar is missed.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from adapt.formats.onnx_writer import write_onnx
from adapt.graph.pruning import ChannelGroup, pruned_graph
from adapt.groups import channel_groups
from adapt.latency.attribution import with_plain_names
from adapt.latency.bench import Bench
from adapt.latency.device import InProcess
from adapt.latency.measure import PairedMeasurement, evaluated, surest_reading
from adapt.latency.predictor import Predictor, fit
from adapt.latency.profile import take_profile
from adapt.latency.reading import Plan
from adapt.latency.runtimes.onnxruntime import OnnxRuntime
from adapt.latency.variants import random_network, variant_counts
from adapt.reach import counts_of
from adapt.zoo.catalogue import get_architecture
from benchmarks.isolated_layers import isolated_ms
from benchmarks.single_cuts import Cut, single_cuts

NETWORKS = (
    *("mobilenet_v2", "mobilenet_v3_large", "resnet18", "googlenet"),
    *("mobilenet_v2_96", "mobilenet_v1_0.50_32"),
)
TINY = "mobilenet_v1_0.50_32"  # 0.1 ms at 32 pixels: a profiler's cost dominates
PROFILE_SEED, PRUNES_SEED = 0, 991
PRUNES, CUTS, TIMES_OVER = 25, 20, 10
PLAN = Plan(half_width=0.01, minimum_pairs=10, minimum_s=0.5, maximum_s=2.5)
SESSIONS = 5
AUTOGROUP = Path("/proc/self/autogroup")


@dataclass(frozen=True, kw_only=True)
class Bar:
    """`most` (or, with `least`, the least) that the figure may be; `aim` is what we would like."""

    most: float | None = None
    least: float | None = None
    aim: float

    def met(self, value: float) -> bool:
        return value <= self.most if self.most is not None else self.least is not None and value >= self.least

    def judged(self, value: float) -> dict[str, Any]:
        bar = self.most if self.most is not None else self.least
        aimed = value <= self.aim if self.most is not None else value >= self.aim
        return {"value": round(value, 4), "bar": bar, "met": self.met(value), "aim": self.aim, "aim_met": aimed}


class Subject:
    """One network of the zoo on a device of this process's."""

    def __init__(self, name: str) -> None:
        self.graph = with_plain_names(get_architecture(name).graph())
        self.groups: Sequence[ChannelGroup] = channel_groups(random_network(self.graph))
        self.runtime = OnnxRuntime()
        self.device = InProcess(self.runtime)
        self.original = write_onnx(random_network(self.graph))

    def file(self, counts: Mapping[str, int]) -> bytes:
        return write_onnx(random_network(pruned_graph(self.graph, self.groups, counts)))

    def measured(self, counts: Mapping[str, int], plan: Plan = PLAN) -> PairedMeasurement:
        return evaluated(surest_reading(self.device, self.file(counts), self.original, plan))

    def predicted(self, predictor: Predictor, counts: Mapping[str, int]) -> float:
        """As a ratio to the original."""
        graph = pruned_graph(self.graph, self.groups, counts)
        return predictor.predict_ms(graph) / predictor.predict_ms(self.graph)


def main() -> int:
    names = sys.argv[1:] or list(NETWORKS)
    rows = []
    for name in names:
        rows.append(row_of(name))
        print(json.dumps(rows[-1]), flush=True)
    met = all(figure["met"] for row in rows for figure in row["figures"].values())
    conditions = {
        **OnnxRuntime().conditions.to_json(),
        "prunes": PRUNES,
        "cuts": CUTS,
        "plan": PLAN.to_document(),
        "niceness": _niceness(),
        "load_average": round(os.getloadavg()[0], 1),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }
    print(json.dumps({"bench": "latency", "within": met, "conditions": conditions, "networks": rows}))
    return 0 if met else 1


def row_of(name: str) -> dict[str, Any]:
    subject = Subject(name)
    profile = take_profile(random_network(subject.graph), subject.groups, subject.device, seed=PROFILE_SEED)
    predictor = fit(profile.table)
    tiny = name == TINY
    figures, beside = whole_networks(subject, predictor, tiny)
    cuts, cuts_beside = cut_figures(subject, predictor)
    ratios = [subject.measured(middle_counts(subject), Plan()).ratio for _ in range(TIMES_OVER)]
    spread = (max(ratios) - min(ratios)) / statistics.median(ratios)
    figures |= cuts
    figures |= {
        "measuring_s": Bar(most=60, aim=30).judged(profile.seconds),
        "prediction_ms": Bar(most=1.0, aim=0.1).judged(prediction_ms(subject, fit(profile.table))),
        "session_ms": Bar(most=300, aim=50).judged(session_ms(subject)),
        "ten_times_spread": Bar(most=0.03, aim=0.01).judged(spread),
    }
    return {
        "network": name,
        "original_ms": round(profile.original_ms, 3),
        "smallest_ratio": round(profile.smallest_ratio, 3),
        "variants": profile.variants,
        "entries": len(profile.table.entries),
        "figures": figures,
        "beside": {**beside, **cuts_beside},
    }


def whole_networks(
    subject: Subject, predictor: Predictor, tiny: bool
) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """Random prunes: predicted, measured, measured again, and summed up from isolated layers."""
    prunes = list(variant_counts(subject.groups, PRUNES + 2, PRUNES_SEED, multiple=8, minimum=8))[2:]
    first = [subject.measured(counts) for counts in prunes]
    second = [subject.measured(counts) for counts in prunes]
    measured = [found.ratio for found in first]
    again = [found.ratio for found in second]
    predicted = [subject.predicted(predictor, counts) for counts in prunes]
    graphs = [pruned_graph(subject.graph, subject.groups, counts) for counts in prunes]
    original_ms, *layers_ms = isolated_ms([subject.graph, *graphs], subject.runtime)
    isolated = [ms / original_ms for ms in layers_ms]
    floor = _mape(again, measured)
    bar = Bar(most=0.08, aim=0.05) if tiny else Bar(most=max(0.05, 1.5 * floor), aim=0.03)
    figures = {
        "mape": bar.judged(_mape(predicted, measured)),
        "spearman": Bar(least=0.97, aim=0.98).judged(_spearman(predicted, measured)),
    }
    beside = {
        "mape_of_measuring_twice": floor,
        "spearman_of_measuring_twice": _spearman(again, measured),
        "mape_against_the_mean_of_both": _mape(
            predicted, [statistics.mean(pair) for pair in zip(measured, again, strict=True)]
        ),
        "mape_of_isolated_layers": _mape(isolated, measured),
        "spearman_of_isolated_layers": _spearman(isolated, measured),
        "busy": statistics.mean(not found.quiet for found in [*first, *second]),
    }
    return figures, {key: round(value, 4) for key, value in beside.items()}


def cut_figures(subject: Subject, predictor: Predictor) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """Cuts of one group: was the sign right, was at least half of it saved; beside what a second measurement says."""
    cuts = single_cuts(subject.graph, subject.groups, predictor, wanted=CUTS)
    saved = [_saved(subject, cut) for cut in cuts]
    again = [_saved(subject, cut) for cut in cuts]
    promised = [cut.predicted_saving for cut in cuts]
    figures = {
        "cut_sign": Bar(least=0.95, aim=1.0).judged(_share(saved, [0.0] * len(cuts))),
        "cut_half_saved": Bar(least=0.9, aim=0.95).judged(_share(saved, [saving / 2 for saving in promised])),
    }
    beside = {
        "cuts": len(cuts),
        "cut_promised": statistics.mean(promised),
        "cut_saved": statistics.mean([*saved, *again]),
        "cut_sign_of_measuring_twice": statistics.mean((x > 0) == (y > 0) for x, y in zip(saved, again, strict=True)),
        "cut_half_of_measuring_twice": _share(saved, [saving / 2 for saving in again]),
    }
    return figures, {key: round(float(value), 4) for key, value in beside.items()}


def middle_counts(subject: Subject) -> dict[str, int]:
    """One network in the middle between the original and the smallest."""
    (counts,) = list(variant_counts(subject.groups, 3, PRUNES_SEED, multiple=8, minimum=8))[2:]
    return dict(counts)


def prediction_ms(subject: Subject, predictor: Predictor) -> float:
    """Of candidates as one iteration of a search asks for them: every count of every group, from one network."""
    before = middle_counts(subject)
    graphs = [
        pruned_graph(subject.graph, subject.groups, {**before, group.id: count})
        for group in subject.groups
        for count in counts_of(group, multiple=8, minimum=8)
        if count <= before[group.id]
    ]
    started = time.perf_counter()
    for graph in graphs:
        predictor.predict_ms(graph)
    return 1000 * (time.perf_counter() - started) / len(graphs)


def session_ms(subject: Subject) -> float:
    """From a pruned structure with its weights to a session that has run; the median of several."""
    taken = []
    for counts in list(variant_counts(subject.groups, SESSIONS + 2, PRUNES_SEED + 2, multiple=8, minimum=8))[2:]:
        network = random_network(pruned_graph(subject.graph, subject.groups, counts))
        started = time.perf_counter()
        subject.runtime.load(write_onnx(network)).close()
        taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken)


def _saved(subject: Subject, cut: Cut) -> float:
    """What the cut saves of its starting point, the two measured beside each other."""
    bench = Bench(subject.runtime)
    try:
        return 1 - evaluated(bench.read(subject.file(cut.after), subject.file(cut.before), PLAN)).ratio
    finally:
        bench.close()


def _niceness() -> dict[str, Any]:
    """Of this process, and of its session where Linux schedules by sessions: figures taken with precedence say so."""
    group = AUTOGROUP.read_text().split()[-1] if AUTOGROUP.exists() else None
    return {"process": os.getpriority(os.PRIO_PROCESS, 0), "session": group}


def _share(values: Sequence[float], limits: Sequence[float]) -> float:
    return statistics.mean(value > limit for value, limit in zip(values, limits, strict=True))


def _mape(values: Sequence[float], truth: Sequence[float]) -> float:
    return statistics.mean(abs(value / true - 1) for value, true in zip(values, truth, strict=True))


def _spearman(values: Sequence[float], truth: Sequence[float]) -> float:
    return float(spearmanr(values, truth).statistic)


if __name__ == "__main__":
    sys.exit(main())
