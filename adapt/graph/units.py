"""Channels that can only go together: those of grouped convolutions, and of layers that are applied more than once.

A convolution in g groups of p input channels each stays one when it loses whole groups, inputs and outputs alike, or
when every group loses the channels at the same positions. The former leaves g choices, the latter p: whichever is
finer is taken. Where the inputs must stay, the outputs can still lose the same positions. What goes together is one
channel of the group that is made here. Needs no torch.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from adapt.graph.coupling import Coupling, Entering, Layers, Owned

_GROUPED = "a grouped convolution reads it together with channels that must stay, or that are not followed"
_Atom = tuple[int, int]
"""Index of a coupling, channel."""


class _Ties:
    """Which atoms go together."""

    def __init__(self) -> None:
        self._parent: dict[_Atom, _Atom] = {}

    def find(self, atom: _Atom) -> _Atom:
        while (parent := self._parent.get(atom, atom)) != atom:
            self._parent[atom] = self._parent.get(parent, parent)
            atom = parent
        return atom

    def tie(self, atoms: Iterable[_Atom]) -> None:
        roots = sorted({self.find(atom) for atom in atoms})
        for other in roots[1:]:
            self._parent[other] = roots[0]


def in_units(couplings: Sequence[Coupling], layers: Layers) -> list[Coupling]:
    """The couplings with channels joined that can only go together; the others as they are."""
    ties = _Ties()
    frozen: dict[int, str] = {}
    columns: dict[int, list[tuple[str, dict[int, tuple[int, ...]]]]] = defaultdict(list)
    _tie_shared(couplings, layers, ties)
    for weight in (weight for weight in layers.nodes if layers.is_grouped(weight)):
        inputs, outputs = _owners(couplings, weight)
        groups, per_group = layers.groups(weight), layers.weight_shapes[weight][1]
        if len(inputs) != groups * per_group or any(len(atoms) > 1 for atoms in inputs.values()):
            frozen.update(dict.fromkeys({index for atoms in inputs.values() for index, _ in atoms}, _GROUPED))
            _tie_positions(outputs, len(outputs) // groups, ties)
            continue
        if groups >= per_group:
            _tie_whole_groups(inputs, outputs, groups, ties)
        else:
            _tie_positions(inputs, per_group, ties)
            _tie_positions(outputs, len(outputs) // groups, ties)
            for position in range(per_group):
                index, channel = next(iter(inputs[position]))
                columns[index].append((weight, {channel: (position,)}))
    return [_joined(members, couplings, ties, frozen, columns) for members in _components(couplings, ties)]


def _owners(couplings: Sequence[Coupling], weight: str) -> tuple[dict[int, set[_Atom]], dict[int, set[_Atom]]]:
    """Who comes in at each input channel of a grouped convolution, and who owns each of its rows."""
    inputs: dict[int, set[_Atom]] = defaultdict(set)
    outputs: dict[int, set[_Atom]] = defaultdict(set)
    for index, coupling in enumerate(couplings):
        parts: list[tuple[dict[int, set[_Atom]], Entering | Owned]] = []
        parts += [(inputs, part) for part in coupling.entering if part.weight == weight]
        parts += [(outputs, part) for part in coupling.owned if part.tensor == weight and part.filters]
        for found, part in parts:
            for channel, positions in part.positions.items():
                for position in positions:
                    found[position].add((index, channel))
    return inputs, outputs


def _tie_shared(couplings: Sequence[Coupling], layers: Layers, ties: _Ties) -> None:
    owners: dict[tuple[str, int, int], list[_Atom]] = defaultdict(list)
    for index, coupling in enumerate(couplings):
        for part in coupling.owned:
            if part.tensor in layers.shared:
                for channel, positions in part.positions.items():
                    for position in positions:
                        owners[part.tensor, part.axis, position].append((index, channel))
    for atoms in owners.values():
        ties.tie(atoms)


def _tie_whole_groups(inputs: dict[int, set[_Atom]], outputs: dict[int, set[_Atom]], groups: int, ties: _Ties) -> None:
    for found in (inputs, outputs):
        each = len(found) // groups
        for group in range(groups):
            members = [atom for position in range(group * each, (group + 1) * each) for atom in found[position]]
            ties.tie([*members, *inputs[group * (len(inputs) // groups)]])


def _tie_positions(found: dict[int, set[_Atom]], each: int, ties: _Ties) -> None:
    for position in range(each):
        ties.tie(atom for other in range(position, len(found), each) for atom in found[other])


def _components(couplings: Sequence[Coupling], ties: _Ties) -> list[list[int]]:
    """Couplings that share an atom's class, each list ascending."""
    home: dict[int, int] = {index: index for index in range(len(couplings))}
    by_class: dict[_Atom, set[int]] = defaultdict(set)
    for index, coupling in enumerate(couplings):
        for channel in range(coupling.channels):
            by_class[ties.find((index, channel))].add(index)
    for indices in by_class.values():
        homes = {home[index] for index in indices}
        if len(homes) > 1:
            home = {index: min(homes) if place in homes else place for index, place in home.items()}
    members: dict[int, list[int]] = defaultdict(list)
    for index, place in home.items():
        members[place].append(index)
    return list(members.values())


def _joined(
    members: Sequence[int],
    couplings: Sequence[Coupling],
    ties: _Ties,
    frozen: dict[int, str],
    columns: dict[int, list[tuple[str, dict[int, tuple[int, ...]]]]],
) -> Coupling:
    """One coupling of what `members` own, whose channels are the classes of their atoms."""
    first = couplings[members[0]]
    atoms = [(index, channel) for index in members for channel in range(couplings[index].channels)]
    classes = {root: number for number, root in enumerate(dict.fromkeys(ties.find(atom) for atom in atoms))}
    reasons = [couplings[index].reason or frozen.get(index) for index in members]
    reason = next((reason for reason in reasons if reason), None)
    extra = [
        (index, Owned(tensor=weight, axis=1, filters=False, positions=positions))
        for index in members
        for weight, positions in columns[index]
    ]
    parts = [(index, part) for index in members for part in couplings[index].owned]
    once = len({(part.tensor, part.axis, part.filters) for _, part in parts}) == len(parts)
    if len(classes) == len(atoms) and len(members) == 1 and not extra and once:  # a layer applied twice owns twice
        return replace(first, reason=reason, entering=())
    places: dict[tuple[str, int, bool], dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for index, part in (*parts, *extra):
        place = places[part.tensor, part.axis, part.filters]
        for channel, positions in part.positions.items():
            place[classes[ties.find((index, channel))]].update(positions)
    roots = [(couplings[index].root, 0, True) for index in members if reason]
    for root in roots:
        places[root]  # a layer whose channels must stay is still one of the group's
    owned = tuple(
        Owned(
            tensor=tensor,
            axis=axis,
            filters=filters,
            positions={channel: tuple(sorted(found)) for channel, found in sorted(place.items())},
        )
        for (tensor, axis, filters), place in places.items()
    )
    return Coupling(root=first.root, channels=len(classes), owned=owned, reason=reason)
