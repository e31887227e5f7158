"""How far a job is: fraction, proposals of the running iteration, time left. Shown, never decided upon."""

import time
from collections.abc import Callable

from adapt.events import (
    BudgetResolved,
    EpochDone,
    Event,
    IterationDone,
    IterationStarted,
    PhaseChanged,
    ProposalEvaluated,
    ProposalGivenUp,
    RungDone,
)
from adapt.spec import Resources
from app.database import Sessions, unit_of_work
from app.jobs.recorder import JobRecorder
from app.jobs.records import ClaimedJob, JobProgress
from app.models.records import UNTRAINED
from workers.assembly import Material

TRAINING_ENDS = 0.4
"""Of the bar, where an architecture without weights is trained first."""
SEARCH_ENDS = 0.9
"""Of the rest of the bar, where a long-term fine-tune follows."""


class Reporter:
    """Writes the job's progress after events that move it. `clock` gives seconds."""

    def __init__(
        self,
        claimed: ClaimedJob,
        sessions: Sessions,
        material: Material,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._claimed, self._sessions, self._clock = claimed, sessions, clock
        self._budget: BudgetResolved | None = None
        trains = material.model.format == UNTRAINED and material.before is None
        self._search_begins = TRAINING_ENDS if trains else 0.0
        self._compares = material.settings.compare != "none"
        share = SEARCH_ENDS if self._compares or material.settings.final != "none" else 1.0
        if material.job.from_iteration is not None:
            share = 0.0  # nothing is searched for
        self._search_ends = self._search_begins + share * (1 - self._search_begins)
        self._training = False
        self._began: tuple[float, float] | None = None  # (seconds, fraction) of the first report
        self._fraction = material.job.progress.fraction  # what an earlier run has told
        self._leg = (0.0, 0.0)  # where the running iteration began, and where it ends if it just meets its constraint
        self._iteration = self._total = 0
        self._over: set[str] = set()  # groups of the running iteration whose proposals are done
        self._raced_out_before = {(each.iteration, each.group) for each in material.record.raced_out}

    def tell(self, event: Event) -> None:
        """Counts the event and writes where the job stands, unless the event moves nothing."""
        if not self._count(event):
            return
        now = self._clock()
        self._began = self._began or (now, self._fraction)
        progress = JobProgress(
            fraction=self._fraction,
            iteration=self._iteration,
            proposals_done=len(self._over),
            proposals_total=self._total,
            eta_seconds=self._eta(now),
        )
        self._write(progress)

    def _write(self, progress: JobProgress) -> None:
        with unit_of_work(self._sessions) as session:
            JobRecorder(session).set_progress(self._claimed, progress)

    def _count(self, event: Event) -> bool:
        if isinstance(event, BudgetResolved):
            self._budget = event
            return False
        if isinstance(event, PhaseChanged):
            self._training = event.phase == "training"
            return self._training
        if isinstance(event, IterationStarted):
            self._iteration, self._total = event.iteration, event.candidates
            self._over = {group for iteration, group in self._raced_out_before if iteration == event.iteration}
            self._leg = (self._way(event.before), self._way({**event.before, **event.constraint}))
            self._fraction = max(self._fraction, self._leg[0])
        elif isinstance(event, ProposalEvaluated | ProposalGivenUp | RungDone):
            over = event.raced_out if isinstance(event, RungDone) else [event]
            self._over.update(each.group for each in over)
            begun, ends = self._leg
            self._fraction = max(self._fraction, begun + (ends - begun) * len(self._over) / self._total)
        elif isinstance(event, IterationDone):
            self._fraction = max(self._fraction, self._way(event.after))
        elif isinstance(event, EpochDone):
            begin, end = (0.0, self._search_begins) if self._training else self._leg_of(event)
            self._fraction = begin + (end - begin) * event.epoch / event.epochs
        else:
            return False
        return True

    def _leg_of(self, event: EpochDone) -> tuple[float, float]:
        """The long-term fine-tune's, and behind it the training of what the result is compared with."""
        middle = (self._search_ends + 1) / 2 if self._compares else 1.0
        return (self._search_ends, middle) if event.of == "job" else (middle, 1.0)

    def _way(self, resources: Resources) -> float:
        """Where in the bar these resources are: the way from the original to the budget lies between the search's
        begin and end, and the resource with most left to go counts."""
        if self._budget is None:
            return self._search_begins
        original = self._budget.original
        ways = [
            (original[name] - resources[name]) / (original[name] - limit)
            for name, limit in self._budget.limits.items()
            if original[name] > limit
        ]
        way = min(1.0, max(0.0, min(ways, default=1.0)))
        return self._search_begins + (self._search_ends - self._search_begins) * way

    def _eta(self, now: float) -> float | None:
        """By the pace since the first report; None until something has moved."""
        if self._began is None or self._fraction <= self._began[1]:
            return None
        seconds, fraction = now - self._began[0], self._fraction - self._began[1]
        return seconds / fraction * (1 - self._fraction)
