"""A budget: an upper limit per resource, as asked (a number or a share of the original) and as resolved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from adapt.spec import RESOURCES, Resource, Resources


@dataclass(frozen=True)
class Share:
    """A fraction of the original's figure: "60%" is Share(0.6)."""

    fraction: float


NO_PEAK_BUDGET = (
    "peak_memory_bytes is reported but cannot be a budget: two places often tie at the peak, and no single channel "
    "group lowers both, so a search would stick; limit memory_bytes instead"
)
Asked = Mapping[Resource, float | Share]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bud_j: absolute limits. `margins` say of a *measured* resource how far below its limit the search aims (0.02:
    2 %), so that the upper end of a measurement's interval still lies within; what is counted has none.
    """

    limits: Resources
    margins: Resources = field(default_factory=dict)

    def aim(self, resource: Resource) -> float:
        """The figure that the search steers to: the limit, or a margin below it."""
        return self.limits[resource] * (1 - self.margins.get(resource, 0.0))

    def unmet(self, resources: Resources) -> tuple[Resource, ...]:
        """The resources over their limit, furthest from it (by ratio) first.

        Of a measured one give the upper end of its interval: that is what must be within the limit.
        """
        over = [name for name, limit in self.limits.items() if resources[name] > limit]
        return tuple(sorted(over, key=lambda name: (-resources[name] / self.limits[name], name)))


def parse_limit(value: float | str) -> float | Share:
    """8.0 or "60%". Raises ValueError for a text of another form; bounds are the caller's matter."""
    if isinstance(value, str):
        if not value.endswith("%"):
            raise ValueError(f"{value!r} is neither a number nor a percentage such as '60%'")
        return Share(float(value[:-1]) / 100)
    return float(value)


def parse_budget(budget: Mapping[str, float | str], resources: Sequence[Resource] = RESOURCES) -> Asked:
    """{"latency_ms": 8.0, "params": "60%"} in the order of `resources`; other names are the caller's matter."""
    return {name: parse_limit(budget[name]) for name in resources if name in budget}


def resolve(asked: Asked, original: Resources, upper_ends: Resources, margins: Resources | None = None) -> Budget:
    """Absolute limits: a share is taken of the original's figure. Raises KeyError when that figure is missing.

    `upper_ends` are the original's figures with the upper end of a measured interval: the original meets "100%".
    """
    limits: dict[Resource, float] = {}
    for name, value in asked.items():
        if isinstance(value, Share):
            limits[name] = (original if value.fraction < 1 else upper_ends)[name] * value.fraction
        else:
            limits[name] = float(value)
    return Budget(limits=limits, margins=margins or {})
