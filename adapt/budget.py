"""A budget: an upper limit per resource, as asked (a number or a share of the original) and as resolved."""

from collections.abc import Mapping
from dataclasses import dataclass

from adapt.spec import RESOURCES, Resource, Resources


@dataclass(frozen=True)
class Share:
    """A fraction of the original's figure: "60%" is Share(0.6)."""

    fraction: float


Asked = Mapping[Resource, float | Share]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bud_j: absolute limits. `margin` is how far below a *measured* latency limit the search aims (0.02: 2 %),
    so that the upper end of a measurement's interval still lies within; 0 where latency is a table's figure.
    """

    limits: Resources
    margin: float = 0.0

    def aim(self, resource: Resource) -> float:
        """The figure that the search steers to: the limit, or for latency a margin below it."""
        limit = self.limits[resource]
        return limit * (1 - self.margin) if resource == "latency_ms" else limit

    def unmet(self, resources: Resources) -> tuple[Resource, ...]:
        """The resources over their limit, furthest from it (by ratio) first.

        Of a measured latency give the upper end of its interval: that is what must be within the limit.
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


def parse_budget(budget: Mapping[str, float | str]) -> Asked:
    """{"latency_ms": 8.0, "params": "60%"} in the order of RESOURCES; names of no resource are the caller's matter."""
    return {name: parse_limit(budget[name]) for name in RESOURCES if name in budget}


def resolve(asked: Asked, original: Resources, upper_ends: Resources, *, margin: float = 0.0) -> Budget:
    """Absolute limits: a share is taken of the original's figure. Raises KeyError when that figure is missing.

    `upper_ends` are the original's figures with the upper end of a measured interval: the original meets "100%".
    """
    limits: dict[Resource, float] = {}
    for name, value in asked.items():
        if isinstance(value, Share):
            limits[name] = (original if value.fraction < 1 else upper_ends)[name] * value.fraction
        else:
            limits[name] = float(value)
    return Budget(limits=limits, margin=margin)
