"""Ours: one NetAdapt search from budget to budget, each of its picks fine-tuned to the end."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from adapt.assembly import assembled
from adapt.budget import Share
from adapt.events import (
    ControlEvaluated,
    Evaluation,
    Event,
    Finished,
    IterationDone,
    Latency,
    Measured,
    OriginalEvaluated,
    Score,
)
from adapt.graph.network import Network
from adapt.graph.pruning import Kept, pruned_graph
from adapt.latency.machine_lock import default_directory
from adapt.latency.meters import PLANS, DeviceMeter
from adapt.latency.table import Entry
from adapt.loop import adapt_network
from adapt.search import Progress
from adapt.spec import Settings, default_normalization
from benchmarks.cells import Cell, Found
from benchmarks.tradeoff_study import (
    PICKING,
    Subject,
    epoch_of,
    look_up_table,
    original,
    recipe_about,
    settings_about,
    trained,
)

WAYPOINTS = (0.75, 0.5, 0.35)
"""One search serves them all: it goes on from each budget's pick to the next budget."""

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "netadapt": {},
    "racing": {"search": "racing"},
    # MobileNetV3's pick rule and its limit to what one iteration may take, at the schedule that all have here.
    "mobilenetv3-rule": {"preset": "mobilenetv3"},
}


@dataclass(kw_only=True)
class Account:
    """What a search has done so far; all that it needs to go on, but the tensors."""

    iteration: int = 0
    steps: int = 0
    proposals: int = 0
    learning_rate: float | None = None
    scores: OriginalEvaluated | None = None
    holdout: Score | None = None
    kept: Kept | None = None
    recorded: dict[str, Latency]

    def note(self, event: Event) -> None:
        trained = _trained(event)
        self.steps += sum(evaluation.steps for evaluation in trained)
        self.proposals += sum(evaluation.group is not None for evaluation in trained)
        if isinstance(event, OriginalEvaluated):
            self.scores = event
        elif isinstance(event, Measured) and event.latency is not None:
            self.recorded[event.key] = event.latency
        elif isinstance(event, ControlEvaluated):
            self.steps += event.evaluation.steps if event.reason else 0  # it was trained twice
            self.learning_rate = event.learning_rate
        elif isinstance(event, IterationDone):
            self.iteration, self.holdout, self.kept = event.iteration, event.holdout, event.kept

    def to_values(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Account":
        scores, holdout, kept = values["scores"], values["holdout"], values["kept"]
        return cls(
            **{name: values[name] for name in ("iteration", "steps", "proposals", "learning_rate")},
            scores=None
            if scores is None
            else OriginalEvaluated(**{name: Score(**one) for name, one in scores.items()}),
            holdout=None if holdout is None else Score(**holdout),
            kept=None if kept is None else {group: tuple(channels) for group, channels in kept.items()},
            recorded={key: _latency(one) for key, one in values["recorded"].items()},
        )

    def progress(self, network: Network | None) -> Progress:
        return Progress(
            iteration=self.iteration,
            network=network,
            kept=self.kept,
            holdout=self.holdout,
            learning_rate=self.learning_rate,
            original=self.scores,
        )


def adapted(subject: Subject, variant: str, budget: float) -> Found:
    """The search's pick for `budget` after the long-term fine-tune; `total_steps` are all that led to it, those of
    proposals that were not picked included."""
    picked = searched(subject, variant, budget)
    settings = subject.settings(**VARIANTS[variant])
    about = {"picked": picked.key, "recipe": recipe_about(settings)}
    pace = {"epochs": settings.long_term_epochs, "learning_rate": settings.long_term_learning_rate}
    cell = Cell(kind="adapted", config=subject.about(**about, **pace))
    found = trained(
        subject,
        cell,
        lambda: picked.network,
        epochs=settings.long_term_epochs,
        learning_rate=settings.long_term_learning_rate,
    )
    further = {"total_steps": total_steps(subject, variant, budget), "iterations": picked.values["iteration"]}
    return replace(found, values={**found.values, **further})


def total_steps(subject: Subject, variant: str, budget: float) -> int:
    """All that lead to the network of `variant` for `budget`: every proposal's and control's, and the long-term
    fine-tune's."""
    long_term = subject.settings(**VARIANTS[variant]).long_term_epochs * epoch_of(subject)
    return int(searched(subject, variant, budget).values["steps"]) + long_term


def searched(subject: Subject, variant: str, budget: float) -> Found:
    """The first network of the search that is within `budget`, by its own measurement, before its long fine-tune."""
    place = WAYPOINTS.index(budget)
    before = searched(subject, variant, WAYPOINTS[place - 1]) if place else None
    unpruned = original(subject)
    settings = subject.settings(**VARIANTS[variant], executor="serial", final="none")
    config = {
        "settings": settings_about(settings),
        "budget": budget,
        "original": unpruned.key,
        "continues": None if before is None else before.key,
        "place": subject.place,
    }
    cell = Cell(kind="search", config=subject.about(**config))
    return subject.cells.find(cell) or _search(subject, cell, settings, unpruned.network, before)


def _search(subject: Subject, cell: Cell, settings: Settings, unpruned: Network, before: Found | None) -> Found:
    groups, table = subject.groups, look_up_table(subject)
    halfway = subject.cells.halfway(cell)
    account, network = Account(recorded={}), None
    if halfway is not None:
        account = Account.from_values(halfway.values)
        network = Network(pruned_graph(unpruned.graph, groups, _counts(account)), halfway.arrays)
    elif before is not None:
        account, network = Account.from_values(before.values), before.network
    meter = DeviceMeter(
        unpruned,
        lambda: table,
        subject.device,
        account.recorded,
        subject.stop,
        plans={**PLANS, "usual": PICKING},
    )
    with assembled(
        unpruned,
        groups,
        subject.images,
        default_normalization(3),
        asked={"latency_ms": Share(cell.config["budget"])},
        settings=settings,
        meters=lambda _images: {"latency_ms": meter},
        lock_directory=default_directory(),
        stop=subject.stop,
    ) as job:
        for event in adapt_network(job, account.progress(network)):
            account.note(event)
            if isinstance(event, IterationDone):
                subject.cells.keep_halfway(cell, account.to_values(), event.network.weights)
            elif isinstance(event, Finished):
                return subject.cells.store(cell, account.to_values(), event.network)
    raise AssertionError("a search ends with Finished or an error")


def _trained(event: Event) -> list[Evaluation]:
    """All that an event says was fine-tuned; those that leave a race at one moment are told in one event."""
    told = (event, *getattr(event, "raced_out", ()))
    return [found for one in told if (found := getattr(one, "evaluation", None)) is not None]


def _counts(account: Account) -> dict[str, int]:
    return {group: len(channels) for group, channels in (account.kept or {}).items()}


def _latency(document: Mapping[str, Any]) -> Latency:
    return Latency(**{**document, "entries": tuple(Entry(**entry) for entry in document["entries"])})
