"""Of each format: how its files are mutated, and what the service does with one of them, all of it in this process."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from adapt.child_process import ChildLimits
from adapt.data import decoding, decoding_process, inspection, inspection_process
from adapt.data.decoding import DecodingLimits, decode_listed, list_images
from adapt.data.sniffing import sniff_format
from adapt.formats import reader_process, sandbox
from adapt.graph.costs import check_memory, costs
from adapt.graph.shapes import check_classifier, infer_shapes
from adapt.graph.shares import shares_by_kind
from adapt.latency.table import table_from_document
from app.json_body import parse_json
from benchmarks.fuzzing.arrays import mutated_npz
from benchmarks.fuzzing.documents import mutated_document
from benchmarks.fuzzing.messages import mutated_model
from benchmarks.fuzzing.raw import mutated_bytes
from benchmarks.fuzzing.tables import mutated_parquet
from benchmarks.fuzzing.tars import mutated_packed, mutated_tar
from benchmarks.fuzzing.tensors import mutated_pt2, mutated_safetensors
from benchmarks.fuzzing.zips import mutated_zip

MAX_UNPACKED_BYTES = 1 << 30
MAX_NETWORK_BYTES = 16 << 30
Mutate = Callable[[bytes, Random, Sequence[bytes]], bytes]


@dataclass(frozen=True, kw_only=True)
class Format:
    """`cases` are those of 100,000; `mutated` knows the format's structure. `read` takes the upload and an empty
    folder, returns what the service would store of it as JSON values, and raises the errors that become answers."""

    cases: int
    mutated: Mutate
    read: Callable[[Path, Path], Any]
    known_bytes: float = 0.25  # the share of cases in which the bytes alone are changed

    def case(self, seeds: Sequence[bytes], rng: Random) -> bytes:
        data = rng.choice(seeds)
        if rng.random() < self.known_bytes:
            return mutated_bytes(data, rng, seeds)
        return self.mutated(data, rng, seeds)


def read_network(upload: Path, folder: Path) -> Any:
    """As app.models.service does."""
    graph = sandbox.read_in_child(upload, folder / "network.safetensors")
    check_memory(graph, MAX_NETWORK_BYTES)
    classes = check_classifier(graph, infer_shapes(graph))
    needed = costs(graph)
    figures = [classes, needed.params, needed.macs, needed.memory_bytes, shares_by_kind(graph)]
    return [json.loads(graph.to_json()), repr(figures)]


def read_dataset(upload: Path, folder: Path) -> Any:
    """As app.datasets.service does."""
    kind = sniff_format(upload)
    if kind == "npz":
        facts = inspection.inspect_npz(upload, folder, ChildLimits(), max_bytes=MAX_UNPACKED_BYTES)
        return [facts.classes, facts.counts, facts.image_shape, facts.splits, facts.notes, dict(facts.report)]
    limits = DecodingLimits(max_bytes=MAX_UNPACKED_BYTES)
    list_images(upload, kind, folder, limits)
    decoded = decode_listed(folder, limits)
    facts = decoded.facts
    return [facts.classes, facts.counts, facts.image_shape, facts.splits, facts.notes, decoded.report]


def read_table(upload: Path, _folder: Path) -> Any:
    return table_from_document(parse_json(upload.read_bytes())).to_document()


def read_in_this_process() -> None:
    """Puts a call in place of the child process: what it would print goes through JSON all the same."""

    def in_place(module: str, arguments: Sequence[str], *_limits: Any, **_more: Any) -> dict[str, Any]:
        outcome: dict[str, Any] = json.loads(json.dumps(_CHILDREN[module](*arguments)))
        return outcome

    for caller in (sandbox, inspection, decoding):
        caller.run_in_child = in_place  # type: ignore[attr-defined]


def _decode(_lock: str, step: str, given: str) -> dict[str, Any]:
    return decoding_process._outcome(decoding_process.STEPS[step], json.loads(given), lambda: None)


def _inspect(upload: str, folder: str, max_bytes: str) -> dict[str, Any]:
    return inspection_process._outcome(Path(upload), Path(folder), int(max_bytes))


def _read(upload: str, output: str) -> dict[str, Any]:
    return reader_process._outcome(Path(upload), Path(output))


def _mutated_table(data: bytes, rng: Random, _others: Sequence[bytes]) -> bytes:
    return mutated_document(json.loads(data), rng)


_CHILDREN: dict[str, Callable[..., dict[str, Any]]] = {
    "adapt.data.decoding_process": _decode,
    "adapt.data.inspection_process": _inspect,
    "adapt.formats.reader_process": _read,
}

FORMATS: dict[str, Format] = {
    "pt2": Format(cases=26_000, mutated=mutated_pt2, read=read_network, known_bytes=0.2),
    "onnx": Format(cases=22_000, mutated=mutated_model, read=read_network),
    "safetensors": Format(cases=14_000, mutated=mutated_safetensors, read=read_network, known_bytes=0.2),
    "npz": Format(cases=12_000, mutated=mutated_npz, read=read_dataset),
    "zip": Format(cases=8_000, mutated=mutated_zip, read=read_dataset, known_bytes=0.3),
    "tar": Format(cases=6_000, mutated=mutated_tar, read=read_dataset, known_bytes=0.3),
    "packed-tar": Format(cases=4_000, mutated=mutated_packed, read=read_dataset, known_bytes=0.0),
    "parquet": Format(cases=6_000, mutated=mutated_parquet, read=read_dataset, known_bytes=0.3),
    "lookup-table": Format(cases=2_000, mutated=_mutated_table, read=read_table),
}
