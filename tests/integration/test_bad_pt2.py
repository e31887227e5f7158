"""Broken and hostile .pt2 files: each is refused, and the message names the place."""

import contextlib
import io
import json
import random
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from adapt.checkpoint import read_network
from adapt.errors import AdaptError, FormatRefused, NetworkRefused
from tests.pt2_files import (
    CONFIG,
    MODEL,
    Small,
    edited,
    entries,
    exported,
    node_of,
    saved,
    set_argument,
    small_pt2,
    with_entry,
    zipped,
)

GOOD = small_pt2()


def read(data: bytes, folder: Path):
    path = folder / "net.pt2"
    path.write_bytes(data)
    return read_network(path)


def pickled(how) -> bytes:
    buffer = io.BytesIO()
    how(buffer)
    return buffer.getvalue()


def doubled_entry() -> bytes:
    buffer = io.BytesIO(GOOD)
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(next(n for n in archive.namelist() if n.endswith("model.json")), b"{}")
    return buffer.getvalue()


def sharing_entry(document) -> None:
    document["config"]["point.weight"]["path_name"] = document["config"]["depthwise.weight"]["path_name"]


def two_inputs() -> bytes:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x, y):
            return self.fc((x + y).mean((2, 3)))

    return saved(torch.export.export(Two(), (torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8))))


def network(*layers: nn.Module, **how) -> bytes:
    return exported(nn.Sequential(*layers), **how)


def dynamic_size() -> bytes:
    height = torch.export.Dim("height", min=8, max=64)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return saved(torch.export.export(module, (torch.zeros(2, 3, 16, 16),), dynamic_shapes=({2: height},)))


OTHER_KINDS = {
    "empty": (b"", "empty"),
    "text": (b"not a network at all", "not a .pt2"),
    "random": (random.Random(0).randbytes(5000), "not a .pt2"),
    "truncated": (GOOD[:-200], "truncated"),
    "only the start": (GOOD[:100], "truncated"),
    "a zip of pictures": (zipped({"a.png": b"x"}), "no exported network"),
    "torch.save": (pickled(lambda file: torch.save(nn.Linear(2, 2).state_dict(), file)), "pickled"),
    "torch.save, legacy": (
        pickled(lambda file: torch.save({"a": 1}, file, _use_new_zipfile_serialization=False)),
        "pickle",
    ),
    "older torch.export": (zipped({"serialized_exported_program.json": b"{}"}, root=""), "older"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "onnx": (b"\x08\x08\x12\x07pytorch" + bytes(100), "not an ONNX file, or a truncated"),
    "safetensors without architecture": (struct.pack("<Q", 2) + b"{}", "architecture"),
    "torch 2.8": (with_entry(GOOD, "data/weights/model.pt", b"x"), "torch 2.8"),
    "another schema": (edited(GOOD, model=lambda d: d["schema_version"].update(major=7)), "schema version 7"),
}


@pytest.mark.parametrize("case", sorted(OTHER_KINDS))
def test_another_kind_of_file_is_refused_saying_what_to_send(case, tmp_path):
    data, named = OTHER_KINDS[case]
    with pytest.raises(FormatRefused, match=named):
        read(data, tmp_path)


def weight_entry(name: str) -> str:
    return "data/weights/" + json.loads(entries(GOOD)[CONFIG])["config"][name]["path_name"]


def floats(name: str, **changed: float) -> bytes:
    values = np.frombuffer(entries(GOOD)[weight_entry(name)], dtype="<f4").copy()
    values[3] = changed["value"]
    return with_entry(GOOD, weight_entry(name), values.tobytes())


def on_graph(change) -> bytes:
    return edited(GOOD, model=lambda d: change(d["graph_module"]["graph"]))


def on_config(name: str, **changed) -> bytes:
    return edited(GOOD, config=lambda d: d["config"][name].update(changed))


def on_meta(name: str, **changed) -> bytes:
    return edited(GOOD, config=lambda d: d["config"][name]["tensor_meta"].update(changed))


def ints(*sizes: int) -> list:
    return [{"as_int": size} for size in sizes]


def with_argument(target: str, name: str, value) -> bytes:
    return edited(GOOD, model=lambda d: set_argument(d, target, name, value))


def renamed_target(target: str, new) -> bytes:
    return edited(GOOD, model=lambda d: node_of(d, target).update(target=new))


BAD = {
    "entry twice": (doubled_entry, "twice"),
    "path up": (lambda: with_entry(GOOD, "../../evil", b""), "not a name"),
    "absolute path": (lambda: zipped({"/etc/passwd": b"", **entries(GOOD)}, root="/"), "not a name|exported"),
    "backslash": (lambda: with_entry(GOOD, "data\\weights", b""), "not a name"),
    "compressed": (lambda: zipped(entries(GOOD), compression=zipfile.ZIP_DEFLATED), "compressed"),
    "two folders": (lambda: two_folders(), "top folders"),
    "two models": (lambda: with_entry(GOOD, "models/other.json", b"{}"), "2 models"),
    "big-endian": (lambda: with_entry(GOOD, "byteorder", b"big"), "little-endian"),
    "no byteorder": (lambda: with_entry(GOOD, "byteorder", None), "byteorder"),
    "other format": (lambda: with_entry(GOOD, "archive_format", b"aoti"), "archive_format"),
    "no weights": (lambda: with_entry(GOOD, CONFIG, None), "model_weights_config.json"),
    "model no JSON": (lambda: with_entry(GOOD, MODEL, b"{"), "model.json: is not valid JSON"),
    "model no UTF-8": (lambda: with_entry(GOOD, MODEL, b'{"a": "\xff"}'), "model.json: is not valid JSON"),
    "model a list": (lambda: with_entry(GOOD, MODEL, b"[]"), "model.json"),
    "deep JSON": (lambda: with_entry(GOOD, MODEL, b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "deep"),
    "rather deep JSON": (lambda: with_entry(GOOD, MODEL, b'{"a":' + b"[" * 90 + b"]" * 90 + b"}"), "deep"),
    "endless number": (lambda: with_entry(GOOD, MODEL, b'{"a":' + b"9" * 10_000 + b"}"), "model.json"),
    "NaN in JSON": (lambda: with_entry(GOOD, MODEL, b'{"a": NaN}'), "NaN"),
    "key twice": (lambda: with_entry(GOOD, MODEL, b'{"a": 1, "a": 2}'), "twice"),
    "empty object": (lambda: with_entry(GOOD, MODEL, b"{}"), "schema_version"),
    "NaN weight": (lambda: floats("head.weight", value=np.nan), "head.weight: holds NaN"),
    "infinite weight": (lambda: floats("stem.0.weight", value=np.inf), "stem.0.weight: holds NaN or inf"),
    "negative variance": (lambda: floats("stem.1.running_var", value=-1), "stem.1.running_var"),
    "short weight": (lambda: with_entry(GOOD, weight_entry("head.bias"), b"1234"), "head.bias: .* holds 4 bytes"),
    "long weight": (lambda: with_entry(GOOD, weight_entry("head.bias"), bytes(64)), "head.bias: .* holds 64 bytes"),
    "missing weight": (lambda: with_entry(GOOD, weight_entry("head.bias"), None), "missing"),
    "weight not described": (lambda: edited(GOOD, config=lambda d: d["config"].pop("head.bias")), "head.bias"),
    "pickled weight": (lambda: on_config("head.bias", use_pickle=True), "head.bias: is pickled"),
    "flag as number": (lambda: on_config("head.bias", use_pickle=0), "use_pickle"),
    "path of a weight": (lambda: on_config("head.bias", path_name="../../secret"), "head.bias"),
    "shared weight": (lambda: edited(GOOD, config=sharing_entry), "weight"),
    "other type": (lambda: on_meta("head.bias", dtype=4), "head.bias: data type"),
    "counter as weight": (lambda: on_meta("head.bias", dtype=5), "head.bias"),
    "type as text": (lambda: on_meta("head.bias", dtype="7"), "head.bias: dtype"),
    "type as float": (lambda: on_meta("head.bias", dtype=7.0), "head.bias: dtype"),
    "sparse": (lambda: on_meta("head.bias", layout=1), "dense"),
    "huge shape": (lambda: on_meta("head.bias", sizes=ints(1 << 60)), "head.bias: the shape"),
    "huge product": (lambda: on_meta("head.weight", sizes=ints(1 << 23, 1 << 23)), "head.weight: the shape"),
    "negative size": (lambda: on_meta("head.bias", sizes=ints(-4)), "head.bias: the shape"),
    "empty tensor": (lambda: on_meta("head.bias", sizes=ints(0)), "head.bias: the shape"),
    "true as size": (lambda: on_meta("head.bias", sizes=ints(True)), "head.bias"),
    "symbolic size": (lambda: on_meta("head.bias", sizes=[{"as_expr": {"expr_str": "9**9**9"}}]), "not fixed"),
    "stride outside": (lambda: on_meta("head.weight", strides=ints(8, 9)), "head.weight: element"),
    "negative stride": (lambda: on_meta("head.weight", strides=ints(-8, 1)), "head.weight: the strides"),
    "overlapping strides": (lambda: on_meta("head.weight", strides=ints(1, 1)), "share their place"),
    "offset outside": (lambda: on_meta("head.bias", storage_offset={"as_int": 1}), "head.bias: element"),
    "weight of another shape": (lambda: on_meta("head.bias", sizes=ints(2, 2), strides=ints(2, 1)), "head"),
    "weight that fits no channels": (
        lambda: on_meta("stem.0.weight", sizes=ints(8, 2, 3, 4), strides=ints(24, 12, 4, 1)),
        "stem.0",
    ),
    "stride 0": (lambda: with_argument("conv2d.default", "stride", {"as_ints": [0, 0]}), "stride"),
    "stride as float": (lambda: with_argument("conv2d.default", "stride", {"as_floats": [2.0, 2.0]}), "stride"),
    "stride of three": (lambda: with_argument("conv2d.default", "stride", {"as_ints": [1, 2, 3]}), "stride"),
    "huge padding": (lambda: with_argument("conv2d.default", "padding", {"as_ints": [1 << 40, 0]}), "padding"),
    "groups 0": (lambda: with_argument("conv2d.default", "groups", {"as_int": 0}), "groups"),
    "groups 3": (lambda: with_argument("conv2d.default", "groups", {"as_int": 3}), "groups"),
    "unknown argument": (lambda: with_argument("conv2d.default", "evil", {"as_string": "x"}), "evil"),
    "argument twice": (
        lambda: edited(
            GOOD,
            model=lambda d: node_of(d, "conv2d.default")["inputs"].append(node_of(d, "conv2d.default")["inputs"][0]),
        ),
        "twice",
    ),
    "probability 2": (lambda: with_argument("dropout.default", "p", {"as_float": 2.0}), "p must be a number"),
    "eps 0": (lambda: with_argument("batch_norm.default", "eps", {"as_float": 0.0}), "eps"),
    "another padding": (
        lambda: with_argument("conv2d.default", "padding", {"as_ints": [2, 2]}),
        "conv2d: the file states",
    ),
    "operator unknown": (
        lambda: renamed_target("relu.default", "torch.ops.aten.lgamma.default"),
        "aten.lgamma.default",
    ),
    "operator reads files": (lambda: renamed_target("relu.default", "torch.ops.aten.from_file.default"), "from_file"),
    "operator is Python": (lambda: renamed_target("relu.default", "os.system"), "os.system"),
    "operator is a number": (lambda: renamed_target("relu.default", 7), "target"),
    "odd value name": (
        lambda: on_graph(lambda g: g["nodes"][0]["outputs"][0]["as_tensor"].update(name="a; import os")),
        "no name",
    ),
    "value from nowhere": (
        lambda: with_argument("relu.default", "self", {"as_tensor": {"name": "nowhere"}}),
        "nowhere",
    ),
    "nodes reversed": (lambda: on_graph(lambda g: g["nodes"].reverse()), "no earlier value"),
    "no nodes": (lambda: on_graph(lambda g: g["nodes"].clear()), "output"),
    "node computed twice": (lambda: on_graph(lambda g: g["nodes"].insert(1, g["nodes"][0])), "computed twice"),
    "nodes no list": (lambda: on_graph(lambda g: g.update(nodes={})), "nodes"),
    "shape not stated": (lambda: on_graph(lambda g: g["tensor_values"].pop("relu")), "relu"),
    "two inputs": (two_inputs, "2 inputs"),
    "dynamic image size": (dynamic_size, "image size is dynamic"),
    "output an image": (lambda: network(nn.Conv2d(3, 4, 3)), r"\[N, classes\].*\[N, 4, 6, 6\]"),
    "one class": (lambda: network(nn.Flatten(), nn.Linear(192, 1)), "two classes"),
    "vector input": (
        lambda: saved(torch.export.export(nn.Linear(4, 2), (torch.zeros(2, 4),))),
        "2 dimensions",
    ),
    "batch norm without statistics": (
        lambda: network(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(), nn.Linear(144, 2)
        ),
        "without running_mean",
    ),
}


def two_folders() -> bytes:
    buffer = io.BytesIO(zipped(entries(GOOD)))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("other/file", b"")
    return buffer.getvalue()


@pytest.mark.parametrize("case", sorted(BAD))
def test_a_bad_file_is_refused_by_name(case, tmp_path):
    make, named = BAD[case]
    with pytest.raises(NetworkRefused, match=named):
        read(make(), tmp_path)


def test_a_damaged_byte_in_a_weight_is_noticed(tmp_path):
    place = GOOD.index(entries(GOOD)[weight_entry("head.weight")])
    damaged = bytearray(GOOD)
    damaged[place + 1] ^= 1
    with pytest.raises(NetworkRefused, match="damaged"):
        read(bytes(damaged), tmp_path)


def test_what_is_never_looked_at_does_no_harm(tmp_path):
    hostile = with_entry(GOOD, "data/sample_inputs/model.pt", b"\x80\x04cos\nsystem\n(S'false'\ntR.")
    hostile = with_entry(hostile, "data/aotinductor/model/wrapper.json", b"{}")
    hostile = edited(hostile, model=lambda d: d.update(guards_code=["__import__('os').system('false')"]))
    assert read(hostile, tmp_path).graph == read(GOOD, tmp_path).graph


@pytest.mark.parametrize("seed", range(5))
def test_any_mutation_is_refused_or_read_and_nothing_else(seed, tmp_path):
    """Bytes flipped, cut out, doubled or cut off, in the file and inside its JSON with a right checksum."""
    chance = random.Random(seed)
    base = exported(Small(), batch=1)
    contents = entries(base)
    for _ in range(60):
        inside = chance.random() < 0.6
        name = chance.choice((MODEL, CONFIG))
        data = mutated(contents[name] if inside else base, chance)
        with contextlib.suppress(AdaptError):
            read(zipped({**contents, name: data}) if inside else data, tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_changed_in_the_zips_directory_it_is_refused_or_read(seed, tmp_path):
    """Offsets, sizes, flags, methods, names and checksums of the entries, in the directory and in their own headers."""
    chance = random.Random(seed)
    base = exported(Small(), batch=1)
    headers = [match.start() for match in re.finditer(b"PK\x01\x02|PK\x03\x04|PK\x05\x06|PK\x06\x06", base)]
    for _ in range(150):
        data = bytearray(base)
        for _ in range(chance.randint(1, 3)):
            place = chance.choice(headers) + chance.randrange(60)
            values = (b"\xff" * 4, bytes(4), chance.randbytes(1), chance.randbytes(2), b"\xff\xff\xff\x7f")
            value = chance.choice(values)
            data[place : place + len(value)] = value
        with contextlib.suppress(AdaptError):
            read(bytes(data), tmp_path)


def mutated(data: bytes, chance: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        place, length = chance.randrange(len(result)), chance.randint(1, 40)
        kind = chance.randrange(4)
        if kind == 0:
            result[place] = chance.randrange(256)
        elif kind == 1:
            del result[place : place + length]
        elif kind == 2:
            result[place:place] = result[place : place + length]
        else:
            result[place : place + 1] = chance.choice((b"0", b"-1", b"null", b"[]", b"{}", b"1e999", b'"', b"true"))
    return bytes(result[: chance.randrange(1, len(result))] if chance.random() < 0.1 else result) or b"x"


def leaves(document, path=()):
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(items):
        if isinstance(value, (dict, list)):
            yield from leaves(value, (*path, key))
        yield (*path, key)


@pytest.mark.parametrize("name", [MODEL, CONFIG])
def test_any_member_of_another_type_is_refused_or_read_and_nothing_else(name, tmp_path):
    """Each place of the JSON may hold anything: another type, a huge number, or be missing."""
    contents = entries(exported(Small(), batch=1))
    document = json.loads(contents[name])
    places = [p for p in leaves(document) if not {"metadata", "module_call_graph", "guards_code"} & set(map(str, p))]
    chance = random.Random(name)
    for place in chance.sample(places, 150):
        changed = json.loads(contents[name])
        parent = changed
        for key in place[:-1]:
            parent = parent[key]
        parent[place[-1]] = chance.choice((None, True, 0, -1, 1 << 70, 1.5, "", "x", [], {}, [None], {"as_int": "1"}))
        with contextlib.suppress(AdaptError):
            read(zipped({**contents, name: json.dumps(changed).encode()}), tmp_path)
