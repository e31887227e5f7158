"""The trade-off's figures: means and spreads, the bars, a table and a picture. What was not run is shown as missing."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

OURS = "netadapt"
NAMED = ("uniform-finetuned", "tp-taylor")
"""The two baselines of the bar, named before anything was run."""
WIDTH_MULTIPLIERS = ("uniform-finetuned", "uniform-scratch")
COUNTED_BUDGET = 0.5
BAR_SPEED_UP, AIM_SPEED_UP = 1.3, 1.7
BAR_POINTS, AIM_POINTS = 0.0, 0.01


@dataclass(frozen=True, kw_only=True)
class Point:
    """One network of one seed: latency as a share of the original's, in the one session at the end; accuracy on the
    test set; training steps after the original's. `method` "original" has budget 1."""

    network: str
    seed: int
    method: str
    budget: float
    accuracy: float
    ratio: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class Missing:
    network: str
    seed: int
    method: str
    budget: float
    reason: str


def lead(points: Sequence[Point], baseline: str) -> dict[str, Any]:
    """Accuracy of ours minus that of `baseline` at the counted budget, paired over seeds and networks."""
    accuracy = {(p.network, p.seed, p.method): p.accuracy for p in points if p.budget == COUNTED_BUDGET}
    ours = [(network, seed) for network, seed, method in accuracy if method == OURS]
    leads = [
        accuracy[*pair, OURS] - accuracy[*pair, baseline] for pair in sorted(ours) if (*pair, baseline) in accuracy
    ]
    if len(leads) < 2:
        return {"pairs": len(leads), "mean": leads[0] if leads else None, "standard_error": None, "met": None}
    mean, error = statistics.mean(leads), statistics.stdev(leads) / len(leads) ** 0.5
    return {
        "pairs": len(leads),
        "mean": round(mean, 4),
        "standard_error": round(error, 4),
        "bar": "mean - standard error > 0",
        "met": mean - error > BAR_POINTS,
        "aim_met": mean >= AIM_POINTS,
    }


def speed_up(points: Sequence[Point]) -> dict[str, Any]:
    """How much quicker ours is at the accuracy of a width multiplier's network: the best case over networks."""
    cases = [
        {"network": network, "against": method, "budget": budget, "speed_up": round(quicker, 3)}
        for network in sorted({p.network for p in points})
        for method in WIDTH_MULTIPLIERS
        for budget in sorted({p.budget for p in points if p.budget < 1})
        if (quicker := _speed_up(points, network, method, budget)) is not None
    ]
    best = max(cases, key=lambda case: float(str(case["speed_up"])), default=None)
    value = None if best is None else float(str(best["speed_up"]))
    return {
        "best": best,
        "bar": BAR_SPEED_UP,
        "met": None if value is None else value >= BAR_SPEED_UP,
        "aim_met": None if value is None else value >= AIM_SPEED_UP,
        "all": cases,
    }


def _speed_up(points: Sequence[Point], network: str, method: str, budget: float) -> float | None:
    """None where there is nothing to compare, or ours is never as accurate."""
    theirs = [p for p in points if (p.network, p.method, p.budget) == (network, method, budget)]
    curve = _curve([p for p in points if p.network == network and p.method in (OURS, "original")])
    if not theirs or len(curve) < 2:
        return None
    accuracy = statistics.mean(p.accuracy for p in theirs)
    ratio = _ratio_at(accuracy, curve)
    return None if ratio is None else statistics.mean(p.ratio for p in theirs) / ratio


def _curve(points: Sequence[Point]) -> list[tuple[float, float]]:
    """(ratio, accuracy), means over seeds, quickest first."""
    by_budget: dict[float, list[Point]] = defaultdict(list)
    for point in points:
        by_budget[point.budget].append(point)
    return sorted(
        (statistics.mean(p.ratio for p in each), statistics.mean(p.accuracy for p in each))
        for each in by_budget.values()
    )


def _ratio_at(accuracy: float, curve: Sequence[tuple[float, float]]) -> float | None:
    """Where the straight lines between the points first reach `accuracy`; never below the quickest point measured."""
    if accuracy <= curve[0][1]:
        return curve[0][0]
    for (quick, low), (slow, high) in pairwise(curve):
        if low < accuracy <= high:
            return quick + (slow - quick) * (accuracy - low) / (high - low)
    return None


def table(points: Sequence[Point], missing: Sequence[Missing]) -> str:
    """Markdown, a row for each network, budget and method."""
    rows: dict[tuple[str, float, str], list[Point]] = defaultdict(list)
    gaps: dict[tuple[str, float, str], list[Missing]] = defaultdict(list)
    for point in points:
        rows[point.network, point.budget, point.method].append(point)
    for gap in missing:
        gaps[gap.network, gap.budget, gap.method].append(gap)
    lines = [
        "| network | budget | method | accuracy | spread | latency | training steps | seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    keys = sorted({*rows, *gaps}, key=lambda key: (key[0], -key[1], key[2]))
    lines += [_row(key, rows[key], gaps[key]) for key in keys]
    return "\n".join(lines)


def _row(key: tuple[str, float, str], found: Sequence[Point], gaps: Sequence[Missing]) -> str:
    network, budget, method = key
    head = f"| {network} | {budget:.0%} | {method} |"
    why = "; ".join(dict.fromkeys(gap.reason for gap in gaps))
    if not found:
        return f"{head} missing | | | | 0 of {len(gaps)}: {why} |"
    accuracies = [p.accuracy for p in found]
    spread = f"{min(accuracies):.2%} to {max(accuracies):.2%}"
    seeds = f"{len(found)}" + (f" of {len(found) + len(gaps)}: {why}" if gaps else "")
    ratio, steps = statistics.mean(p.ratio for p in found), statistics.mean(p.steps for p in found)
    return f"{head} {statistics.mean(accuracies):.2%} | {spread} | {ratio:.1%} | {steps:.0f} | {seeds} |"


def figure(points: Sequence[Point], path: Path) -> None:
    """Latency against accuracy: a panel for each network, a line for each method, bars over the seeds' spread."""
    import matplotlib as mpl  # here: it takes a second, and only whoever draws needs it
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "tradeoff"  # names inside the file would be new every time
    networks = sorted({p.network for p in points})
    canvas = Figure(figsize=(6 * len(networks), 4.5), layout="constrained")
    for place, network in enumerate(networks, start=1):
        axes = canvas.add_subplot(1, len(networks), place)
        own = [p for p in points if p.network == network]
        for method in sorted({p.method for p in own} - {"original"}):
            _draw(axes, [p for p in own if p.method in (method, "original")], method)
        axes.set(title=network, xlabel="measured latency, share of the original's", ylabel="test accuracy")
        axes.legend(fontsize="small")
    canvas.savefig(path, metadata={"Date": None})


def _draw(axes: Any, points: Sequence[Point], method: str) -> None:
    by_budget: Mapping[float, list[Point]] = {
        budget: [p for p in points if p.budget == budget] for budget in sorted({p.budget for p in points})
    }
    means = [statistics.mean(p.accuracy for p in each) for each in by_budget.values()]
    low = [mean - min(p.accuracy for p in each) for mean, each in zip(means, by_budget.values(), strict=True)]
    high = [max(p.accuracy for p in each) - mean for mean, each in zip(means, by_budget.values(), strict=True)]
    ratios = [statistics.mean(p.ratio for p in each) for each in by_budget.values()]
    axes.errorbar(ratios, means, yerr=[low, high], marker="o", capsize=3, label=method)
