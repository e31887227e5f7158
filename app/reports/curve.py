"""The trade-off curve as a picture that needs no script: SVG, every proposal a dot, the picks joined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.reports.markup import Markup, element

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 48
TICKS = 5
Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Points:
    """(cost, accuracy on the hold-out in per cent). `limit`: the budget, where it is known."""

    proposals: Sequence[Point]
    picks: Sequence[Point]
    original: Point | None
    limit: float | None


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        return [self.low + (self.high - self.low) * step / (TICKS - 1) for step in range(TICKS)]


def points_of(job: Mapping[str, Any], proposals: Sequence[Any], checkpoints: Sequence[Any], resource: str) -> Points:
    """Of documents as the API has them, by accuracy on the hold-out. Proposals stand at their prediction, picks at what
    was measured or counted, or predicted where the target measures nothing. Whoever left a race before its end has no
    accuracy that compares."""
    original = job["original"]
    return Points(
        proposals=[
            (one["predicted"][resource], 100 * one["accuracy"])
            for one in proposals
            if one["accuracy"] is not None and one["state"] != "raced-out" and resource in (one["predicted"] or {})
        ],
        picks=[
            found for one in checkpoints if one["kind"] == "pick" and (found := _point(one, resource, one["accuracy"]))
        ],
        original=None if original is None else _point(original, resource, original["holdout_accuracy"]),
        limit=(job["limits"] or {}).get(resource),
    )


def draw(points: Points, x_label: str) -> Markup | None:
    """None while there is nothing to draw."""
    known = [*points.proposals, *points.picks, *([points.original] if points.original else [])]
    if not known:
        return None
    x = _scale([*(x for x, _ in known), *([points.limit] if points.limit else [])], LEFT, WIDTH - RIGHT)
    y = _scale([y for _, y in known], HEIGHT - BOTTOM, TOP)
    # One path for all dots, each a line of no length with round ends: 20,000 elements would make a heavy page.
    dots = "".join(f"M{x(cost)} {y(accuracy)}h0" for cost, accuracy in points.proposals)
    line = " ".join(f"{x(cost)},{y(accuracy)}" for cost, accuracy in points.picks)
    title = f"{len(points.proposals)} proposals and {len(points.picks)} picks, accuracy against {x_label}"
    return element(
        "svg",
        element("title", title),
        _axes(x, y, x_label),
        element("path", d=dots, class_="dots") if dots else None,
        element("polyline", points=line, class_="line") if line else None,
        [element("circle", cx=x(cost), cy=y(accuracy), r=4, class_="pick") for cost, accuracy in points.picks],
        element("circle", cx=x(points.original[0]), cy=y(points.original[1]), r=6, class_="original")
        if points.original
        else None,
        element("path", d=f"M{x(points.limit)} {TOP}V{HEIGHT - BOTTOM}", class_="limit") if points.limit else None,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
    )


def _point(figures: Mapping[str, Any], resource: str, accuracy: float | None) -> Point | None:
    latency = figures["latency_ms"]
    known = latency["predicted"] if latency["measured"] is None else latency["measured"]
    cost = known if resource == "latency_ms" else figures[resource]
    return None if cost is None or accuracy is None else (cost, 100 * accuracy)


def _scale(values: Sequence[float], start: float, end: float) -> _Scale:
    space = 0.05 * ((max(values) - min(values)) or abs(max(values)) or 1.0)
    return _Scale(min(values) - space, max(values) + space, start, end)


def _axes(x: _Scale, y: _Scale, x_label: str) -> list[Markup]:
    bottom = HEIGHT - BOTTOM
    return [
        element("path", d=f"M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}", class_="axis"),
        *[element("text", f"{tick:.4g}", x=x(tick), y=bottom + 18, text_anchor="middle") for tick in x.ticks()],
        *[element("text", f"{tick:.4g}", x=LEFT - 6, y=y(tick) + 4, text_anchor="end") for tick in y.ticks()],
        element("text", x_label, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, text_anchor="middle"),
        element("text", "accuracy on the hold-out [%]", x=LEFT + 6, y=TOP + 4),
    ]
