"""Uploads are parsed in a child process with memory, CPU and time limits; what comes back is a file that we wrote."""

from pathlib import Path
from typing import Any

from adapt.child_process import ChildEnded, ChildLimits, more_memory, run_in_child
from adapt.errors import FormatRefused, NetworkRefused, UnsupportedOperator
from adapt.formats.safetensors_file import read_graph
from adapt.graph.network import Graph

_ERRORS = {"operator": UnsupportedOperator, "format": FormatRefused, "network": NetworkRefused}


def read_in_child(
    path: Path, out: Path, limits: ChildLimits | None = None, *, architecture: str | None = None
) -> Graph:
    """Reads a stranger's .pt2 or .safetensors file and writes the network to `out` as a checkpoint of ours.

    With `architecture`, a name that the zoo has, the file holds the weights of that alone.
    Returns the graph of `out`; `read_safetensors(out)` has the weights too. No thread is forked, nothing is
    unpickled, torch is not loaded. Raises FormatRefused, UnsupportedOperator or NetworkRefused: the file's fault, or a
    limit that reading it ran into; `out` is then not there.
    """
    limits = limits or ChildLimits()
    try:
        named = [] if architecture is None else [architecture]
        outcome = _run([str(path.resolve()), str(out.resolve()), *named], limits)
        if outcome["kind"] in _ERRORS:
            raise _ERRORS[outcome["kind"]](*outcome["arguments"])
        if outcome["kind"] == "memory":
            raise NetworkRefused("", f"reading it takes {more_memory(limits)}")
        return read_graph(out)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _run(arguments: list[str], limits: ChildLimits) -> dict[str, Any]:
    """What the child says. Raises NetworkRefused when it was ended or failed."""
    try:
        return run_in_child("adapt.formats.reader_process", arguments, limits)
    except ChildEnded as error:
        raise NetworkRefused("", error.why) from error
