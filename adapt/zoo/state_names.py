"""Which tensor of a state_dict is which weight: what stands around the names, and what they used to be called."""

import re
from collections.abc import Mapping

from adapt.errors import NetworkRefused
from adapt.graph.network import Graph, Shape
from adapt.zoo.architecture import Architecture

COUNTER = ".num_batches_tracked"
"""What older files lack: it says how often a batch norm was trained, and nothing here reads it."""


def file_names(architecture: Architecture, stored: Mapping[str, Shape]) -> dict[str, str]:
    """Our name -> the file's, for every tensor but those for training alone. A prefix that stands before all of a
    network's names, as nn.DataParallel ("module."), Lightning ("model.") or torch.compile ("_orig_mod.") put it there,
    is none of the names. What lies outside of it keeps its name.

    Raises NetworkRefused where the file has the network several times, under several prefixes.
    """
    family = architecture.family
    named: dict[str, str] = {}
    for name in stored:
        current = _current(name, family.older_names)
        if current in named:
            raise NetworkRefused(ascii(name[:200])[1:-1], f"is another name of {ascii(named[current][:200])[1:-1]}")
        named[current] = name
    prefix = _prefix(architecture.published_graph(), named)
    ours: dict[str, str] = {}
    for name, file_name in named.items():
        bare = name.removeprefix(prefix)
        if bare in ours:
            shown, other = (ascii(each[:200])[1:-1] for each in (file_name, ours[bare]))
            raise NetworkRefused(shown, f"is {other} too, but for the prefix {prefix[:80]!a}; keep one of them")
        ours[bare] = file_name
    return {name: file_name for name, file_name in ours.items() if not name.startswith(family.training_only)}


def _current(name: str, older: Mapping[str, str]) -> str:
    for pattern, replacement in older.items():
        name = re.sub(pattern, replacement, name)
    return name


def _prefix(graph: Graph, names: Mapping[str, str]) -> str:
    """What stands before the names of the network's weights, or of most of them."""
    needed = [name for name in graph.weight_shapes if not name.endswith(COUNTER)]
    first = needed[0]
    if first in names:
        return ""
    found = {
        name.removesuffix(first): sum(f"{name.removesuffix(first)}{weight}" in names for weight in needed)
        for name in names
        if name.endswith(f".{first}")
    }
    whole = sorted(prefix for prefix, count in found.items() if count == len(needed))
    if len(whole) > 1:
        copies = ", ".join(ascii(prefix[:80]) for prefix in whole)
        raise NetworkRefused("", f"the file has the network several times, under {copies}; keep one of them")
    return max(found, key=lambda prefix: found[prefix], default="")
