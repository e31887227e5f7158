"""One .pt2 file for every way in which torch.export.load runs what a stranger wrote into it (FACTS 6).

Each payload creates one file, `sentinel`, and does nothing else. `ATTACKS` makes the files; torch's own loader is only
ever given them in a process of its own.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.pt2_files import CONFIG, MODEL, edited, entries, node_of, small_pt2, zipped

GOOD = small_pt2()
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLES = "data/sample_inputs/model.pt"


class Payload:
    """Unpickled, it creates a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = str(sentinel)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.sentinel, "w")


def code(sentinel: Path) -> str:
    """The same as one expression without quotes, dots or blanks: it survives wherever a name is spliced in."""
    return f"open(bytes([{','.join(map(str, str(sentinel).encode()))}]),chr(119))"


def saved_payload(sentinel: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Payload(sentinel), buffer)
    return buffer.getvalue()


def with_entries(changed: dict[str, bytes]) -> bytes:
    return zipped({**entries(GOOD), **changed})


def sample_inputs(sentinel: Path) -> bytes:
    return with_entries({SAMPLES: saved_payload(sentinel)})


def pickled_weight(sentinel: Path) -> bytes:
    document = json.loads(entries(GOOD)[CONFIG])
    document["config"]["head.bias"].update(use_pickle=True, path_name="weight_77")
    return with_entries({CONFIG: json.dumps(document).encode(), "data/weights/weight_77": saved_payload(sentinel)})


def legacy_weights(sentinel: Path) -> bytes:
    """data/weights/model.pt beside the plain tensors, as torch 2.8 wrote it."""
    return with_entries({"data/weights/model.pt": saved_payload(sentinel)})


def with_constant(entry: str, content: bytes, *, use_pickle: bool) -> bytes:
    described = {"path_name": entry, "is_param": False, "use_pickle": use_pickle, "tensor_meta": None}
    document = json.dumps({"config": {"constant": described}}).encode()
    return with_entries({CONSTANTS: document, f"data/constants/{entry}": content})


def pickled_constant(sentinel: Path) -> bytes:
    return with_constant("tensor_0", saved_payload(sentinel), use_pickle=True)


def opaque_object(sentinel: Path) -> bytes:
    return with_constant("opaque_obj_0", pickle.dumps(Payload(sentinel)), use_pickle=True)


def legacy_layout(sentinel: Path) -> bytes:
    """The zip of torch 2.7: four entries without a folder, each of them pickled but for the graph."""
    parts = {"serialized_exported_program.json": entries(GOOD)[MODEL], "version": b"8.15"}
    pickles = ("serialized_state_dict.json", "serialized_constants.json", "serialized_example_inputs.pt")
    return zipped({**parts, **{name: saved_payload(sentinel) for name in pickles}}, root="")


def legacy_in_front(sentinel: Path) -> bytes:
    return legacy_layout(sentinel) + GOOD


def legacy_behind(sentinel: Path) -> bytes:
    return GOOD + legacy_layout(sentinel)


def legacy_inside(sentinel: Path) -> bytes:
    """One archive of both: a RuntimeError over the new one (a constant of no known kind) has torch read the old."""
    buffer = io.BytesIO(with_constant("odd_0", b"", use_pickle=True))
    with zipfile.ZipFile(io.BytesIO(legacy_layout(sentinel))) as old, zipfile.ZipFile(buffer, "a") as archive:
        for info in old.infolist():
            archive.writestr(info.filename, old.read(info))
    return buffer.getvalue()


def expression(text: str) -> dict[str, Any]:
    return {"as_expr": {"expr_str": text, "hint": {"as_int": 2}}}


def opening(sentinel: Path) -> dict[str, Any]:
    return expression(f'open("{sentinel}", "w")')


def with_input_meta(where: str, value: dict[str, Any]) -> bytes:
    """The first of the input tensor's sizes or strides, or its offset, as `value`."""

    def change(document: Any) -> None:
        meta = document["graph_module"]["graph"]["tensor_values"]["x"]
        if where == "storage_offset":
            meta[where] = value
        else:
            meta[where][0] = value

    return edited(GOOD, model=change)


def symbolic(where: str) -> Callable[[Path], bytes]:
    return lambda sentinel: with_input_meta(where, opening(sentinel))


def endless_expression(where: str) -> bytes:
    return with_input_meta(where, expression("9**9**9**9"))


def symbolic_weight(sentinel: Path) -> bytes:
    def change(document: Any) -> None:
        document["config"]["head.bias"]["tensor_meta"]["sizes"] = [opening(sentinel)]

    return edited(GOOD, config=change)


def symbolic_value(sentinel: Path) -> bytes:
    def change(document: Any) -> None:
        graph = document["graph_module"]["graph"]
        graph["sym_int_values"]["evil"] = opening(sentinel)
        inputs = [("self", {"as_tensor": {"name": "x"}}), ("dim", {"as_int": 0})]
        node = {
            "target": "torch.ops.aten.sym_size.int",
            "inputs": [{"name": name, "arg": argument, "kind": 1} for name, argument in inputs],
            "outputs": [{"as_sym_int": {"as_name": "evil"}}],
            "metadata": {},
            "is_hop_single_tensor_return": None,
        }
        graph["nodes"].insert(0, node)

    return edited(GOOD, model=change)


def renamed(old: str, new: str, *, data: bytes = GOOD) -> bytes:
    """Every place where the graph's JSON has exactly the text `old` now has `new`."""
    contents = entries(data)
    for name in (MODEL, CONFIG):
        contents[name] = contents[name].replace(json.dumps(old).encode(), json.dumps(new).encode())
    return zipped(contents)


def placeholder_name(sentinel: Path) -> bytes:
    return renamed("x", f"x={code(sentinel)}")


def parameter_name(sentinel: Path) -> bytes:
    return renamed("head.bias", f'head.a"+str({code(sentinel)})+"')


def argument_name(sentinel: Path) -> bytes:
    """Spliced in twice, as a parameter and as an argument: the text between the two is made a string."""
    name = f"x,y=[''',{code(sentinel)}]):\n    pass#"

    def change(document: Any) -> None:
        document["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [name]

    return edited(GOOD, model=change)


def keyword_name(sentinel: Path) -> bytes:
    """Only operators without a schema take keywords as the file names them."""

    def change(document: Any) -> None:
        node = node_of(document, "relu.default")
        node["target"] = "torch.ops.higher_order.wrap_with_set_grad_enabled"
        node["is_hop_single_tensor_return"] = True
        node["inputs"].append({"name": f"a={code(sentinel)},b", "arg": {"as_int": 1}, "kind": 2})

    return edited(GOOD, model=change)


def tree_spec(sentinel: Path) -> bytes:
    """An enumeration's class is imported by its dotted path; `evil_<name>` lies beside the sentinel."""
    (sentinel.parent / f"evil_{sentinel.name}.py").write_text(f"open({str(sentinel)!r}, 'w')\n")
    context = json.dumps({"__enum__": True, "fqn": f"evil_{sentinel.name}:A", "name": "B"})
    spec = json.dumps([1, {"type": "builtins.dict", "context": context, "children_spec": []}])

    def change(document: Any) -> None:
        document["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = spec

    return edited(GOOD, model=change)


def guard_code(sentinel: Path) -> bytes:
    return edited(GOOD, model=lambda document: document.update(guards_code=[f"[{code(sentinel)}] != L['x'].size()[0]"]))


def file_operator(sentinel: Path) -> bytes:
    """aten.from_file maps a file that a stranger names; `shared` creates it."""

    def change(document: Any) -> None:
        node = node_of(document, "relu.default")
        node.update(target="torch.ops.aten.from_file.default")
        values = {
            "filename": {"as_string": str(sentinel)},
            "shared": {"as_bool": True},
            "size": {"as_int": 256},
        }
        node["inputs"] = [{"name": name, "arg": value, "kind": 1} for name, value in values.items()]

    return edited(GOOD, model=change)


def compiled_code(sentinel: Path) -> bytes:
    """data/aotinductor/: its JSON is a compiler's command line, and goes to a shell."""
    lists = ("cflags", "definitions", "include_dirs", "ldflags", "libraries", "libraries_dirs", "passthrough_args")
    switches = ("use_absolute_path", "compile_only", "use_relative_path")
    flags = json.dumps(
        {"compiler": f"touch {sentinel};", "output_format": "o"}
        | {name: [] for name in lists}
        | dict.fromkeys(switches, False)
    ).encode()
    folder = "data/aotinductor/model/net"
    files = {f"{folder}.{part}.cpp": b"" for part in ("wrapper", "kernel")}
    files |= {
        f"{folder}.{part}_{what}_flags.json": flags for part in ("wrapper", "kernel") for what in ("compile", "linker")
    }
    metadata = json.dumps({"AOTI_DEVICE_KEY": "cpu"}).encode()
    return with_entries({**files, f"{folder}.wrapper_metadata.json": metadata})


def outside_entry(sentinel: Path) -> bytes:
    """An entry of a compiled model that is unpacked to a path of its own: `..` as often as it takes to the root."""
    contents = entries(compiled_code(Path("/dev/null")))
    name = "data/aotinductor/model/" + "../" * 40 + str(sentinel).lstrip("/")
    return zipped({name: b"", **{name: text.replace(b"touch /dev/null;", b"g++") for name, text in contents.items()}})


ATTACKS: dict[str, Callable[[Path], bytes]] = {
    "sample_inputs": sample_inputs,
    "pickled_weight": pickled_weight,
    "legacy_weights": legacy_weights,
    "pickled_constant": pickled_constant,
    "opaque_object": opaque_object,
    "legacy_layout": legacy_layout,
    "legacy_in_front": legacy_in_front,
    "legacy_behind": legacy_behind,
    "legacy_inside": legacy_inside,
    "symbolic_size": symbolic("sizes"),
    "symbolic_stride": symbolic("strides"),
    "symbolic_offset": symbolic("storage_offset"),
    "symbolic_weight": symbolic_weight,
    "symbolic_value": symbolic_value,
    "placeholder_name": placeholder_name,
    "parameter_name": parameter_name,
    "argument_name": argument_name,
    "keyword_name": keyword_name,
    "tree_spec": tree_spec,
    "guard_code": guard_code,
    "file_operator": file_operator,
    "compiled_code": compiled_code,
    "outside_entry": outside_entry,
}
