"""Mutations of the files that hold JSON beside bytes: .pt2 and safetensors."""

import json
import struct
from collections.abc import Sequence
from random import Random
from typing import Any

from benchmarks.fuzzing.documents import mutated_document
from benchmarks.fuzzing.zips import entries_of, mutated_zip, zip_of

_GRAPH = "models/model.json"


def mutated_pt2(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """A fault of the container, or changes of one of its JSON entries: the graph, mostly."""
    if rng.random() < 0.3:
        return mutated_zip(data, rng, others)
    entries = entries_of(data)
    documents = [entry for entry in entries if entry.name.endswith(b".json")]
    graphs = [entry for entry in documents if entry.name.decode().endswith(_GRAPH)]
    chosen = rng.choice((*graphs * 4, *documents))
    document = json.loads(chosen.content)
    whole = rng.random() < 0.3 or chosen not in graphs
    part: Any = document if whole else document["graph_module"]
    if not whole and rng.random() < 0.8:
        part = part["graph"] if rng.random() < 0.85 else part["signature"]
    if part is document:
        chosen.content = mutated_document(document, rng)
    else:
        chosen.content = _with_part(document, part, mutated_document(json.loads(json.dumps(part)), rng))
    return zip_of(entries)


def _with_part(document: Any, part: Any, written: bytes) -> bytes:
    """The document's text with the object `part` in it replaced."""
    for parent, key in (
        (document, "graph_module"),
        (document["graph_module"], "graph"),
        (document["graph_module"], "signature"),
    ):
        if parent.get(key) is part:
            parent[key] = "@part@"
    return json.dumps(document).encode().replace(b'"@part@"', written)


def mutated_safetensors(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """The header, or the architecture that is text inside of it, changed; its length told right, or not."""
    (length,) = struct.unpack("<Q", data[:8])
    header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
    metadata = header.get("__metadata__", {})
    if "architecture" in metadata and rng.random() < 0.7:
        changed = mutated_document(json.loads(metadata["architecture"]), rng)
        metadata["architecture"] = changed.decode("utf-8", "surrogateescape")
        written = json.dumps(header).encode()
    else:
        written = mutated_document(header, rng)
    told = len(written) if rng.random() < 0.95 else rng.choice((0, 1, len(written) - 1, 2**31, 2**63, 2**64 - 1))
    kept = tensors if rng.random() < 0.9 else rng.choice((b"", tensors[:-1], tensors + b"\0", bytes(len(tensors))))
    return struct.pack("<Q", told) + written + kept
