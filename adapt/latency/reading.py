"""What is asked of a device that measures, and what it answers: values that cross processes and networks as JSON.

Needs nothing but Python: the agent on somebody's phone imports it too. A reading may come from a stranger's machine, so
what it holds is checked, and the field at fault named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from adapt.errors import ReadingRefused
from adapt.latency.conditions import Conditions, conditions_from_document
from adapt.latency.fields import Fields
from adapt.latency.runtimes.contract import Kernel

MAX_PAIRS = 10_000
MAX_KERNELS = 100_000
SHORTEST_MS, LONGEST_MS = 1e-6, 1e8
_FIELDS = Fields(ReadingRefused)
_OPTIONAL = ("kernels", "reference_level_ms")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long to look. Candidate and reference are timed in short blocks, one after the other, until the interval of
    the ratio's median is at most `half_width` of it to either side; never fewer than `minimum_pairs` or shorter than
    `minimum_s`, and after `maximum_s` with whatever interval there is; where fewer than those pairs fell into quiet
    moments, after `patience` times that. `profile_s`: of runs of the candidate under the runtime's profiler afterwards;
    0 for none.
    """

    half_width: float = 0.01
    minimum_pairs: int = 15
    minimum_s: float = 4.0
    maximum_s: float = 8.0
    patience: float = 2.0
    profile_s: float = 0.0

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Plan":
        """What a service sends its agent: keys of a newer one are ignored."""
        return cls(**{field.name: document[field.name] for field in fields(cls) if field.name in document})


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One candidate beside the reference, pair by pair in the order of time, milliseconds per run.

    Each pair's reference was timed just before its candidate. `reference_level_ms` is what the reference lately took
    in quick moments, this reading's and earlier ones'. `kernels` are those of one run of the candidate, where a
    profile was asked for. `runs` counts the candidate's.
    """

    conditions: Conditions
    candidate_ms: tuple[float, ...]
    reference_ms: tuple[float, ...]
    runs: int
    kernels: tuple[Kernel, ...] = ()
    reference_level_ms: float | None = None

    def to_document(self) -> dict[str, Any]:
        return {
            "conditions": self.conditions.to_json(),
            "candidate_ms": list(self.candidate_ms),
            "reference_ms": list(self.reference_ms),
            "runs": self.runs,
            "kernels": [asdict(kernel) for kernel in self.kernels],
            "reference_level_ms": self.reference_level_ms,
        }


def reading_from_document(document: object) -> Reading:
    """What `to_document` wrote, on whatever machine. Raises ReadingRefused, naming the field at fault."""
    found = _FIELDS.an_object(document, "", ("conditions", "candidate_ms", "reference_ms", "runs"), _OPTIONAL)
    candidate, reference = (_times(found[name], name) for name in ("candidate_ms", "reference_ms"))
    if len(candidate) != len(reference):
        raise ReadingRefused("reference_ms", f"has {len(reference)} blocks, candidate_ms {len(candidate)}")
    level = found.get("reference_level_ms")
    return Reading(
        conditions=conditions_from_document(found["conditions"], "conditions", _FIELDS),
        candidate_ms=candidate,
        reference_ms=reference,
        runs=_FIELDS.whole(found["runs"], "runs"),
        kernels=_kernels(found.get("kernels", [])),
        reference_level_ms=None if level is None else _time(level, "reference_level_ms"),
    )


def _times(values: object, where: str) -> tuple[float, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str) or not 1 <= len(values) <= MAX_PAIRS:
        raise ReadingRefused(where, f"must be a list of 1 to {MAX_PAIRS} times in milliseconds")
    return tuple(_time(value, f"{where}[{index}]") for index, value in enumerate(values))


def _time(value: object, where: str) -> float:
    return _FIELDS.number(value, where, low=SHORTEST_MS, high=LONGEST_MS)


def _kernels(rows: object) -> tuple[Kernel, ...]:
    if not isinstance(rows, Sequence) or isinstance(rows, str) or len(rows) > MAX_KERNELS:
        raise ReadingRefused("kernels", f"must be a list of at most {MAX_KERNELS} kernels")
    return tuple(_kernel(row, f"kernels[{index}]") for index, row in enumerate(rows))


def _kernel(row: object, where: str) -> Kernel:
    found = _FIELDS.an_object(row, where, ("name", "operator", "ms"))
    name, operator = (_FIELDS.text(found[part], f"{where}.{part}", limit=1000) for part in ("name", "operator"))
    return Kernel(name=name, operator=operator, ms=_FIELDS.number(found["ms"], f"{where}.ms", low=0.0, high=LONGEST_MS))
