"""Broken and hostile ONNX files: each is refused, and the message names the place."""

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from adapt.checkpoint import read_network
from adapt.errors import AdaptError, FormatRefused, NetworkRefused, UnsupportedOperator
from adapt.formats.pt2_graph import MAX_NODES
from adapt.formats.sandbox import read_in_child
from tests.onnx_files import between, head, model, node, numbers, stem


def good() -> onnx.ModelProto:
    body = [node("BatchNormalization", "s scale shift mean var", "n"), node("Relu", "n", "b")]
    return between(body, {"scale": numbers(6), "shift": numbers(6), "mean": numbers(6), "var": np.ones(6, np.float32)})


def changed(change: Callable[[onnx.ModelProto], Any]) -> bytes:
    content = good()
    change(content)
    return content.SerializeToString()


def on_weight(**values: Any) -> bytes:
    """The good file with the stem's weight described otherwise."""

    def change(content: onnx.ModelProto) -> None:
        for tensor in content.graph.initializer:
            if tensor.name == "stem.weight":
                for name, value in values.items():
                    tensor.ClearField(name)
                    getattr(tensor, name).extend(value) if isinstance(value, list) else setattr(tensor, name, value)

    return changed(change)


def with_body(*nodes: onnx.NodeProto, opset: int = 17, **tensors: Any) -> bytes:
    return between(nodes, tensors, opset=opset).SerializeToString()


def holding(name: str, place: int, value: float) -> bytes:
    def change(content: onnx.ModelProto) -> None:
        for tensor in content.graph.initializer:
            if tensor.name == name:
                array = numpy_helper.to_array(tensor).copy()
                array.ravel()[place] = value
                tensor.CopyFrom(numpy_helper.from_array(array, name))

    return changed(change)


def external(content: onnx.ModelProto) -> None:
    tensor = content.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def branch(output: str) -> onnx.GraphProto:
    info = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    return helper.make_graph([node("Relu", "s", output)], "branch", [], info)


def looping() -> onnx.GraphProto:
    made = branch("t")
    made.node[0].CopyFrom(node("Loop", "- - s", "t", body=branch("u")))
    return made


def two_inputs(content: onnx.ModelProto) -> None:
    content.graph.input.add().CopyFrom(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 1, 9, 8]))
    content.graph.node.insert(0, node("Mul", "x mask", "masked"))


def custom(content: onnx.ModelProto) -> None:
    content.graph.node[2].domain = "com.evil"


def many_nodes(content: onnx.ModelProto) -> None:
    last = content.graph.node[2]
    content.graph.node.extend([last] * MAX_NODES)


def sparse(content: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "thin")
    indices = numpy_helper.from_array(np.zeros(1, np.int64))
    content.graph.sparse_initializer.add().CopyFrom(helper.make_sparse_tensor(values, indices, [9]))


def image_of(*shape: Any, kind: int = TensorProto.FLOAT) -> Callable[[onnx.ModelProto], None]:
    info = helper.make_tensor_value_info("x", kind, shape)
    return lambda content: content.graph.input[0].CopyFrom(info)


def headed(*nodes: onnx.NodeProto, **tensors: Any) -> bytes:
    first, weights = stem()
    return model([*first, *nodes], {**weights, **tensors}).SerializeToString()


def delimited(field: int, content: bytes) -> bytes:
    """A protobuf field that holds `content`."""
    size, length = len(content), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + content


def deep() -> bytes:
    """Subgraphs in subgraphs, deeper than any parser goes."""
    content = b""
    for _ in range(400):
        attribute = delimited(6, content)  # AttributeProto.g
        content = delimited(1, delimited(5, attribute))  # GraphProto.node, NodeProto.attribute
    return b"\x08\x08" + delimited(7, content)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "external data": (lambda: changed(external), "stem.weight: lies outside of the file"),
    "custom domain": (lambda: changed(custom), "node_b: operator com.evil::Relu"),
    "if": (
        lambda: with_body(node("If", "s", "b", then_branch=branch("t"), else_branch=branch("e"))),
        "node_b: operator If .*depends on the images.*control flow",
    ),
    "loop in a branch": (
        lambda: with_body(node("If", "c", "b", then_branch=looping(), else_branch=branch("e")), c=np.array([False])),
        "node_t: operator Loop",
    ),
    "loop": (lambda: with_body(node("Loop", "- - s", "b", body=branch("t"))), "node_b: operator Loop"),
    "scan": (lambda: with_body(node("Scan", "s", "b", body=branch("t"), num_scan_inputs=1)), "operator Scan"),
    "quantised activations": (
        lambda: with_body(
            node("QuantizeLinear", "s one", "q"), node("DequantizeLinear", "q one", "b"), one=np.float32(1)
        ),
        "node_q: operator QuantizeLinear .*floating point",
    ),
    "quantised weights": (
        lambda: with_body(
            node("DequantizeLinear", "w one", "v"),
            node("Conv", "s v", "b"),
            w=np.ones((6, 6, 1, 1), np.int8),
            one=np.float32(1),
        ),
        "node_v: operator DequantizeLinear .*floating point",
    ),
    "quantised": (lambda: with_body(node("QLinearConv", "s s s s s s s s", "b")), "node_b: operator QLinearConv"),
    "sequence": (lambda: with_body(node("SequenceConstruct", "s s", "b")), "operator SequenceConstruct"),
    "unknown operator": (lambda: with_body(node("GridSample", "s s", "b")), "node_b: operator GridSample"),
    "unknown attribute": (lambda: with_body(node("Relu", "s", "b", evil=1)), "node_b: operator Relu .*attribute evil"),
    "string attribute": (lambda: with_body(node("Conv", "s fc.weight", "b", pads=["a"])), "kind STRINGS"),
    "string initialiser": (
        lambda: with_body(node("Clip", "s low", "b"), low=np.array(["x"], dtype=object)),
        "low: holds STRING",
    ),
    "sparse initialiser": (lambda: changed(sparse), "thin: is sparse"),
    "NaN": (lambda: holding("stem.weight", 3, np.nan), "stem.weight: holds NaN"),
    "infinity": (lambda: holding("shift", 1, np.inf), "shift: holds NaN or infinite"),
    "negative variance": (lambda: holding("var", 1, -1.0), "running_var holds a negative"),
    "initialiser twice": (
        lambda: changed(lambda c: c.graph.initializer.add().CopyFrom(c.graph.initializer[0])),
        "stem.weight: is the name of two",
    ),
    "value twice": (lambda: changed(lambda c: c.graph.node[3].output.__setitem__(0, "n")), "'n' is computed twice"),
    "value called as a weight": (
        lambda: changed(lambda c: c.graph.node[1].output.__setitem__(0, "fc.bias")),
        "'fc.bias' is computed twice",
    ),
    "missing initialiser": (lambda: changed(lambda c: c.graph.initializer.pop(0)), "node_s: Conv needs 'stem.weight'"),
    "cycle": (
        lambda: with_body(node("Add", "s u", "t"), node("Relu", "t", "u"), node("Relu", "u", "b")),
        "node_t: Add needs 'u'",
    ),
    "itself": (lambda: with_body(node("Add", "s b", "b")), "needs 'b'"),
    "weight too short": (lambda: on_weight(raw_data=b"\0" * 100), "stem.weight: holds 100 bytes"),
    "weight both ways": (lambda: on_weight(float_data=[1.0]), "stem.weight: holds its values twice"),
    "weight of integers": (
        lambda: on_weight(data_type=TensorProto.INT32),
        "node_s: its W holds int32",
    ),
    "weight of 8 bits": (lambda: on_weight(data_type=TensorProto.INT8), "stem.weight: holds INT8"),
    "unknown type": (lambda: on_weight(data_type=99), "stem.weight: holds 99"),
    "huge shape": (lambda: on_weight(dims=[1 << 20, 1 << 20, 3, 3]), "stem.weight: the shape .* more than"),
    "endless shape": (lambda: on_weight(dims=[1 << 62, 3, 3, 3]), "stem.weight: the shape"),
    "negative shape": (lambda: on_weight(dims=[-6, 3, 3, 3]), "stem.weight: the shape"),
    "five axes": (lambda: on_weight(dims=[6, 3, 3, 3, 1]), "stem.weight: the shape"),
    "other groups": (lambda: with_body(node("Conv", "s w", "b", group=2), w=numbers(6, 6, 1, 1)), "node_b.*groups = 2"),
    "kernel of another size": (
        lambda: with_body(node("Conv", "s w", "b", kernel_shape=[5, 5]), w=numbers(6, 6, 3, 3)),
        "node_b: operator Conv .*kernel_shape",
    ),
    "stride zero": (lambda: with_body(node("MaxPool", "s", "b", kernel_shape=[2, 2], strides=[0, 1])), "strides"),
    "negative pads": (
        lambda: with_body(node("MaxPool", "s", "b", kernel_shape=[2, 2], pads=[-1, 0, 0, 0])),
        "node_b: operator MaxPool .*pads",
    ),
    "uneven pads that no pool has": (
        lambda: with_body(node("MaxPool", "s", "b", kernel_shape=[2, 2], pads=[1, 0, 0, 0])),
        "node_b: operator MaxPool .*uneven padding",
    ),
    "transposed convolution": (
        lambda: with_body(node("ConvTranspose", "s w", "b"), w=numbers(6, 6, 3, 3)),
        "node_b: operator ConvTranspose",
    ),
    "matrix on the left": (
        lambda: headed(node("Gemm", "w s", "y"), w=numbers(4, 6)),
        "node_y: operator Gemm",
    ),
    "transA": (lambda: headed(node("Gemm", "s w", "y", transA=1), w=numbers(4, 6)), "operator Gemm .*transA"),
    "sum of three where an activation is spelled out": (
        lambda: with_body(
            node("Add", "s s s", "a"),
            node("Mul", "a root", "i"),
            node("Tanh", "i", "h"),
            node("Add", "h one", "b"),
            root=np.float32(0.7978846),
            one=np.float32(1),
        ),
        "node_a: Add has 3 inputs",
    ),
    "a number without end": (
        lambda: with_body(node("Add", "s c", "b"), c=np.float32(np.inf)),
        "node_b: value must be a number",
    ),
    "weights that become infinite": (
        lambda: with_body(
            node("Div", "w zero", "v"), node("Conv", "s v", "b"), w=numbers(6, 6, 1, 1), zero=np.float32(0)
        ),
        "holds NaN or infinite values",
    ),
    "constant that does not spread": (
        lambda: with_body(node("Relu", "s", "t"), node("Add", "t c", "b"), c=numbers(6, 9, 7)),
        "node_b: Add: .*does not spread over",
    ),
    "constant of a higher rank": (
        lambda: with_body(node("Add", "s c", "b"), c=numbers(1, 1, 1, 1, 1)),
        "c: the shape .*at most 4 sizes",
    ),
    "weights shared": (
        lambda: with_body(
            node("Conv", "s w", "t"),
            node("Relu", "t", "u"),
            node("Conv", "u w", "b", dilations=[2, 2]),
            w=numbers(6, 6, 1, 1),
        ),
        "b: the weight w is used by t too, which is another layer",
    ),
    "reshape into the batch": (
        lambda: headed(node("Reshape", "s to", "y"), to=np.array([-1, 4], np.int64)),
        "node_y: operator Reshape",
    ),
    "reshape to the batch's square": (
        lambda: headed(node("Shape", "s", "n"), node("Mul", "n n", "m"), node("Reshape", "s m", "y")),
        "node_y: operator Reshape .*depends on the batch",
    ),
    "transposed batch": (lambda: headed(node("Transpose", "s", "y", perm=[1, 0, 2, 3])), "operator Transpose"),
    "constant output": (
        lambda: model([node("Selu", "c", "y")], {"c": numbers(1, 4)}).SerializeToString(),
        "node_y: operator Selu .*constants",
    ),
    "no nodes": (lambda: model([], {}).SerializeToString(), "output: 'y' is no value"),
    "output is the image": (lambda: model([], {}, output="x").SerializeToString(), "output"),
    "no classes": (lambda: headed(node("Relu", "s", "y")), r"output: must be \[N, classes\]"),
    "one class": (
        lambda: headed(
            node("ReduceMean", "s", "m", axes=[2, 3], keepdims=0), node("MatMul", "m w", "y"), w=numbers(6, 1)
        ),
        "two classes or more",
    ),
    "two outputs": (
        lambda: changed(lambda c: c.graph.output.add().CopyFrom(c.graph.output[0])),
        "output: the network has 2 outputs",
    ),
    "two inputs": (lambda: changed(two_inputs), r"inputs: the network takes 2 inputs \['x', 'mask'\]"),
    "no input": (lambda: changed(lambda c: c.graph.input.pop()), "inputs: the network takes 0 inputs"),
    "image of bytes": (lambda: changed(image_of("N", 3, 9, 8, kind=TensorProto.UINT8)), "inputs: .*UINT8"),
    "image of any size": (lambda: changed(image_of("N", 3, "H", "W")), "inputs: the image size is dynamic"),
    "image of three axes": (lambda: changed(image_of("N", 3, 9)), "inputs: the input has 3 dimensions"),
    "huge image": (lambda: changed(image_of("N", 3, 1 << 40, 8)), "inputs: the shape"),
    "image of four channels": (
        lambda: changed(image_of("N", 4, 9, 8)),
        "node_s: .*takes 3 channels.*has 4",
    ),
    "convolution of images with channels last": (
        lambda: model(
            [node("Conv", "x w", "s"), *head("s", 6)[0]],
            {"w": numbers(6, 3, 1, 1), **head("s", 6)[1]},
            image=(9, 8, 3),
        ).SerializeToString(),
        "node_s: operator Conv .*takes 3 channels.*has 9",
    ),
    "another stated shape": (
        lambda: changed(
            lambda c: c.graph.value_info.add().CopyFrom(
                helper.make_tensor_value_info("s", TensorProto.FLOAT, ["N", 6, 9, 9])
            )
        ),
        "s: the file states the shape",
    ),
    "too many nodes": (lambda: changed(many_nodes), "nodes, 10000 are allowed"),
    "old opset": (lambda: changed(lambda c: setattr(c.opset_import[0], "version", 6)), "opset 6 is not read"),
    "future opset": (lambda: changed(lambda c: setattr(c.opset_import[0], "version", 999)), "opset 999 is not read"),
    "no opset": (lambda: changed(lambda c: c.opset_import.pop()), "opset_import: states 0"),
    "constant of text": (
        lambda: with_body(helper.make_node("Constant", [], ["c"], value_float=1), node("Add", "s c", "b")).replace(
            b"value_float", b"value_ints_"
        ),
        "a Constant with value_ints_ is not read",
    ),
    "folding that fails": (
        lambda: with_body(node("Concat", "s.a", "t", axis=3), node("Reshape", "s t", "b"), **{"s.a": numbers(2)}),
        "node_t: Concat of constants",
    ),
    "folding that explodes": (
        lambda: with_body(
            node("ConstantOfShape", "size", "t"), node("Add", "s t", "b"), size=np.array([1 << 40], np.int64)
        ),
        "node_t: ConstantOfShape of constants: makes",
    ),
}


def read(content: bytes, folder: Path) -> Any:
    path = folder / "net.onnx"
    path.write_bytes(content)
    return read_network(path)


def test_the_file_that_the_others_are_made_of_is_read(tmp_path: Path) -> None:
    assert len(read(changed(lambda c: None), tmp_path).graph.nodes) == 6


@pytest.mark.parametrize("case", sorted(BAD))
def test_a_bad_file_is_refused_by_name(case: str, tmp_path: Path) -> None:
    make, named = BAD[case]
    with pytest.raises(NetworkRefused, match=named):
        read(make(), tmp_path)


OTHER_KINDS = {
    "truncated": lambda: changed(lambda c: None)[:-40],
    "only the start": lambda: changed(lambda c: None)[:6],
    "no graph": lambda: b"\x08\x08",
    "deep nesting": deep,
    "no protobuf": lambda: b"\x08" + random.Random(0).randbytes(3000),
}


@pytest.mark.parametrize("case", sorted(OTHER_KINDS))
def test_what_is_no_onnx_file_is_refused_as_such(case: str, tmp_path: Path) -> None:
    with pytest.raises(FormatRefused, match="not an ONNX file"):
        read(OTHER_KINDS[case](), tmp_path)


def test_a_million_nodes_are_refused_in_the_child(tmp_path: Path) -> None:
    single = delimited(1, node("Relu", "s", "s").SerializeToString())
    content = between([node("Relu", "s", "b")]).SerializeToString()
    path = tmp_path / "upload"
    path.write_bytes(content + delimited(7, single * 1_000_000))  # a field given twice is merged
    with pytest.raises(NetworkRefused, match=r"10000\d\d nodes"):
        read_in_child(path, tmp_path / "out")


def test_a_refusal_by_the_child_names_operator_and_node(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(changed(custom))
    with pytest.raises(UnsupportedOperator, match=r"node_b: operator com\.evil::Relu"):
        read_in_child(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def mutated(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place, way = chance.randrange(len(data)), chance.randrange(4)
        if way == 0:
            data[place] = chance.randrange(256)
        elif way == 1:
            data[place] ^= 1 << chance.randrange(8)
        elif way == 2:
            del data[place : place + chance.randint(1, 8)]
        else:
            data[place:place] = data[chance.randrange(len(data)) :][: chance.randint(1, 30)]
    return bytes(data)


def rearranged(chance: random.Random) -> bytes:
    """A well-formed file whose graph makes no sense."""
    content = good()
    graph = content.graph
    for _ in range(chance.randint(1, 3)):
        some = chance.choice(graph.node)
        way = chance.randrange(6)
        if way == 0:
            some.op_type = chance.choice(
                ["Add", "Conv", "Reshape", "Gather", "Split", "Pad", "Slice", "Squeeze", "Gemm"]
            )
        elif way == 1 and some.input:
            some.input[chance.randrange(len(some.input))] = chance.choice(["x", "s", "scale", "fc.weight", "", "?"])
        elif way == 2:
            some.attribute.add().CopyFrom(
                helper.make_attribute(
                    chance.choice(["axis", "pads", "strides", "axes", "perm", "group", "split"]),
                    chance.choice([0, -9, 1 << 62, [1, 1], [-1], [0, 3, 1, 2], 0.5, [1 << 62] * 4]),
                )
            )
        elif way == 3:
            tensor = chance.choice(graph.initializer)
            tensor.dims[:] = chance.choice([[], [0], [1, 6], [6, 1, 1], [-1], [1 << 40], [3, 6, 3, 3]])
        elif way == 4:
            tensor = chance.choice(graph.initializer)
            tensor.data_type = chance.randrange(25)
        else:
            some.output[0] = chance.choice(["s", "n", "b", "x", "y"])
    return content.SerializeToString()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_changed_in_a_file_it_is_read_or_refused(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    content = changed(lambda c: None)
    for _ in range(100):
        broken = rearranged(chance) if chance.random() < 0.5 else mutated(content, chance)
        with contextlib.suppress(AdaptError):
            read(broken, tmp_path)
