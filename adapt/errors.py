"""Everything that `adapt` raises on purpose.

AdaptError
 ├─ Refused                   something that a user sent
 │   ├─ NetworkRefused            a file that is not a network we can adapt
 │   │   ├─ UnsupportedOperator   ... because of one operator, named
 │   │   └─ FormatRefused         ... because it is of another kind altogether (pickle, legacy archive)
 │   ├─ DatasetRefused            a data set that cannot be read, or does not fit the network
 │   │   └─ NotEnoughData         too few images for the split asked for
 │   ├─ TableRefused              a look-up table that is not one of ours
 │   └─ ReadingRefused            what a device answered is no reading
 ├─ NoSuchLayer               a pattern of the settings that matches no layer of the network
 ├─ BudgetUnreachable         the smallest network is still over the budget
 ├─ ScheduleTooShort          the explicit schedule ends before the budget
 ├─ BudgetNotMet              no group can lower any unmet resource
 ├─ OriginalAccuracyTooLow    the uploaded network does not classify this data set
 ├─ TrainingDiverged          a zoo network's training lost its numbers
 ├─ TableDoesNotCover         a fixed look-up table lacks operators of this network
 ├─ MeasurementFailed         the runtime refused or crashed
 ├─ ProposalFailed            a proposal killed its process every time
 ├─ OutOfMemory               not even the smallest batch fits
 ├─ DeviceAbsent              a GPU was asked for, and there is none
 ├─ PluginAbsent              a name that is none of ours, and that no installed package adds
 ├─ PluginFailed              what another package adds cannot be imported, or fails at its work
 ├─ ExtraAbsent               something was asked for that is not installed
 ├─ ClusterAway               the Ray cluster went away and did not come back
 └─ Stopped                   whoever runs us asked to stop

Arguments are positional, so that an error survives the way back from a worker process.
"""

import re

MOST_WHERE, MOST_WHY = 300, 1000  # characters
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""No terminal, database or JSON answer gets these: control characters, what turns the direction of writing, halves of
surrogate pairs."""


def presentable(text: str, most: int) -> str:
    """A text that may hold a stranger's words, escaped and cut to `most` characters."""
    escaped = _UNFIT.sub(lambda found: ascii(found[0])[1:-1], text[:most])
    return escaped if len(text) <= most else f"{escaped[: most - 3]}..."


class AdaptError(Exception):
    """Root of all that `adapt` raises on purpose."""


class Refused(AdaptError):
    """Something that a user sent. `where` names the entry, layer or field at fault ("" for the whole).

    Both are made presentable here, once, wherever a reader quotes the file in them. Who took several files says in
    `file` which one it is, as OSError does.
    """

    file = ""

    def __init__(self, where: str, why: str) -> None:
        where, why = presentable(where, MOST_WHERE), presentable(why, MOST_WHY)
        super().__init__(where, why)
        self.where, self.why = where, why

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.where, self.why) if part)


class NetworkRefused(Refused):
    pass


class UnsupportedOperator(NetworkRefused):
    def __init__(self, where: str, operator: str, why: str = "") -> None:
        where, operator = (presentable(text, MOST_WHERE) for text in (where, operator))
        why = presentable(why, MOST_WHY)
        AdaptError.__init__(self, where, operator, why)
        self.where, self.operator = where, operator
        self.why = f"operator {operator} is not supported" + (f": {why}" if why else "")


class FormatRefused(NetworkRefused):
    pass


class DatasetRefused(Refused):
    pass


class NotEnoughData(DatasetRefused):
    pass


class NoSuchLayer(AdaptError):
    """`faults`: of each pattern its place in the settings, as ("include", "0"), the pattern, and a hint or None."""

    def __init__(self, faults: tuple[tuple[tuple[str, str], str, str | None], ...]) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return "; ".join(f"{place[0]}: {self.why(pattern, hint)}" for place, pattern, hint in self.faults)

    @staticmethod
    def why(pattern: str, hint: str | None) -> str:
        return f"{pattern!r} matches no convolution or linear layer of this network" + (f"; {hint}" if hint else "")


class BudgetUnreachable(AdaptError):
    """`upper` is the upper end of the interval, where the smallest network was measured."""

    def __init__(self, resource: str, budget: float, smallest: float, upper: float | None = None) -> None:
        super().__init__(resource, budget, smallest, upper)
        self.resource, self.budget, self.smallest, self.upper = resource, budget, smallest, upper

    def __str__(self) -> str:
        return (
            f"{self.resource}: {figure_of(self.budget)} asked, {_with_upper_end(self.smallest, self.upper)} is the "
            "least this network can reach; raise the budget, or let more be removed (by include, exclude, proposals, "
            "min_channels, max_removed or group_limits)"
        )


class ScheduleTooShort(AdaptError):
    """`decay` is the smallest one, in steps of 0.001, whose steps sum up to what is asked."""

    def __init__(self, resource: str, reachable: float, needed: float, initial: float, decay: float) -> None:
        super().__init__(resource, reachable, needed, initial, decay)
        self.resource, self.reachable, self.needed, self.initial, self.decay = (
            resource,
            reachable,
            needed,
            initial,
            decay,
        )

    def __str__(self) -> str:
        return (
            f"{self.resource}: the schedule's steps sum up to {self.reachable:.3f} of the original, the budget asks "
            f"for {self.needed:.3f}; with initial {self.initial:g} a decay of {self.decay:.3f} reaches it"
        )


class BudgetNotMet(AdaptError):
    """`upper` is the upper end of the interval, where the figure was measured: that has to be within the budget."""

    def __init__(self, resource: str, budget: float, reached: float, upper: float | None = None) -> None:
        super().__init__(resource, budget, reached, upper)
        self.resource, self.budget, self.reached, self.upper = resource, budget, reached, upper

    def __str__(self) -> str:
        return (
            f"{self.resource}: {_with_upper_end(self.reached, self.upper)} reached, {figure_of(self.budget)} asked, "
            f"and no channel group that lowers {self.resource} can be cut any further; every checkpoint is kept"
        )


def _with_upper_end(value: float, upper: float | None) -> str:
    known = "" if upper is None else f" (measured, its interval reaches up to {figure_of(upper)})"
    return figure_of(value) + known


def figure_of(value: float) -> str:
    """A count to its last digit, a latency to four."""
    return f"{value:.0f}" if value >= 1_000 else f"{value:.4g}"


class OriginalAccuracyTooLow(AdaptError):
    def __init__(self, accuracy: float, chance: float) -> None:
        super().__init__(accuracy, chance)
        self.accuracy, self.chance = accuracy, chance

    def __str__(self) -> str:
        return (
            f"the original network scores {self.accuracy:.3f} on this data set, chance is {self.chance:.3f}; likely "
            "causes are another normalisation or another order of the classes than in training "
            "(send the model anew with its `normalization`, `netadapt models add --normalization`; or set "
            "allow_low_accuracy to go on all the same)"
        )


class TrainingDiverged(AdaptError):
    def __init__(self, learning_rate: float) -> None:
        super().__init__(learning_rate)
        self.learning_rate = learning_rate

    def __str__(self) -> str:
        return (
            f"training the architecture lost its numbers at learning rate {self.learning_rate:g}; "
            "a lower training_learning_rate avoids that"
        )


class TableDoesNotCover(AdaptError):
    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__(missing)
        self.missing = missing

    def __str__(self) -> str:
        return "the look-up table has no entry for: " + ", ".join(self.missing)


class TableRefused(Refused):
    """`where` reads like "entries[3].ms"."""


class ReadingRefused(Refused):
    """`where` reads like "candidate_ms[3]"."""


class MeasurementFailed(AdaptError):
    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why)
        self.what, self.why = what, why

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


class ProposalFailed(AdaptError):
    def __init__(self, proposal: str, attempts: int, why: str) -> None:
        super().__init__(proposal, attempts, why)
        self.proposal, self.attempts, self.why = proposal, attempts, why

    def __str__(self) -> str:
        return f"proposal {self.proposal}: given up after {self.attempts} attempts: {self.why}"


class OutOfMemory(AdaptError):
    """`images` is how many were trained on at once in the last attempt."""

    def __init__(self, images: int, why: str) -> None:
        super().__init__(images, why)
        self.images, self.why = images, why

    def __str__(self) -> str:
        return (
            f"out of memory, even with {self.images} images at once: {self.why}; smaller images or networks need less"
        )


class DeviceAbsent(AdaptError):
    def __init__(self, device: str, why: str) -> None:
        super().__init__(device, why)
        self.device, self.why = device, why

    def __str__(self) -> str:
        return f"device: {self.device} was asked for, and {self.why}; ask for cpu, or run a worker where there is one"


class PluginAbsent(AdaptError):
    """`kind` is importance, resource or runtime; `there_are` names those that can be used here."""

    def __init__(self, kind: str, name: str, there_are: tuple[str, ...]) -> None:
        super().__init__(kind, name, there_are)
        self.kind, self.name, self.there_are = kind, name, there_are

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.name!r} is not one of {', '.join(map(repr, self.there_are))}; a package that adds it "
            "has to be installed beside the service and beside every worker"
        )


class PluginFailed(AdaptError):
    """`package` is the distribution that adds it, with its version."""

    def __init__(self, kind: str, name: str, package: str, why: str) -> None:
        why = presentable(why, MOST_WHY)
        super().__init__(kind, name, package, why)
        self.kind, self.name, self.package, self.why = kind, name, package, why

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}, which {self.package} adds: {self.why}"


class ExtraAbsent(AdaptError):
    def __init__(self, asked: str, extra: str) -> None:
        super().__init__(asked, extra)
        self.asked, self.extra = asked, extra

    def __str__(self) -> str:
        return (
            f"{self.asked} needs the extra {self.extra}, which is not installed: pip install 'netadapt-service"
            f"[{self.extra}]' for the service and every worker"
        )


class ClusterAway(AdaptError):
    def __init__(self, cluster: str, why: str) -> None:
        super().__init__(cluster, why)
        self.cluster, self.why = cluster, why

    def __str__(self) -> str:
        return (
            f"{self.cluster} is away: {self.why}; what was evaluated before is kept: once the cluster is back, extend "
            "the job by the same budget and it goes on from its last iteration"
        )


class Stopped(AdaptError):
    """The stop signal was set; what was recorded so far is complete."""
