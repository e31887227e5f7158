"""ONNX files are read as the same networks that they were written from, whoever wrote them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from adapt.checkpoint import read_network
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.costs import costs
from adapt.graph.network import Network
from adapt.graph.pruning import all_kept, prune
from adapt.groups import channel_groups
from adapt.zoo.initial import initial_network
from tests.networks import FAMILIES, INPUT_SHAPE, uploaded
from tests.onnx_files import IMAGE, answer, between, exported_onnx, head, images, model, node, numbers, read, stem
from tests.zoo_instances import SMALL_INSTANCES, small_instance


def onnx_answer(content: bytes, batch: np.ndarray) -> np.ndarray:
    """Of a file that this test wrote."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch})[0]


def operators(network: Network) -> list[str]:
    return [node.operator for node in network.graph.nodes]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_we_write_we_read(family: str, tmp_path: Path) -> None:
    network = uploaded(FAMILIES[family]())
    again = read(write_onnx(network), tmp_path)
    assert costs(again.graph) == costs(network.graph)
    assert {name: t.shape for name, t in again.weights.items()} == {n: t.shape for n, t in network.weights.items()}
    batch = images(INPUT_SHAPE)
    np.testing.assert_allclose(answer(again, batch), answer(network, batch), atol=1e-5)


@pytest.mark.parametrize("family", sorted(SMALL_INSTANCES))
def test_every_zoo_family_comes_back_from_onnx(family: str, tmp_path: Path) -> None:
    network = initial_network(small_instance(family), seed=0)
    again = read(write_onnx(network), tmp_path)
    assert costs(again.graph) == costs(network.graph)
    assert again.weights.keys() == network.weights.keys()
    for name, tensor in network.weights.items():
        np.testing.assert_array_equal(again.weights[name], tensor)


def test_a_batch_norm_without_scale_and_shift_stays_one(tmp_path: Path) -> None:
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = uploaded(nn.Sequential(*layers, nn.Linear(4, 2)).eval(), IMAGE)
    again = read(write_onnx(network), tmp_path)
    assert again.weights.keys() == network.weights.keys()
    assert costs(again.graph) == costs(network.graph)


def test_an_average_over_cells_that_do_not_divide_comes_back(tmp_path: Path) -> None:
    layers = [nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d((4, 3)), nn.Flatten(), nn.Linear(48, 2)]
    network = uploaded(nn.Sequential(*layers).eval(), IMAGE)
    again = read(write_onnx(network), tmp_path)
    assert operators(again) == operators(network) == ["conv2d", "adaptive_avg_pool2d", "flatten", "linear"]
    np.testing.assert_allclose(answer(again, images()), answer(network, images()), atol=1e-5)


@pytest.mark.parametrize("dynamic", [None, {"images": {0: "N"}}])
def test_torchs_local_response_norm_is_one(dynamic: Any, tmp_path: Path) -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.LocalResponseNorm(5), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(80, 2)]
    module = nn.Sequential(*layers).eval()
    network = read(exported_onnx(module, IMAGE, 13, dynamic_axes=dynamic), tmp_path)
    assert operators(network) == ["conv2d", "local_response_norm", "conv2d", "flatten", "linear"]
    with torch.inference_mode():
        expected = module(torch.from_numpy(images())).numpy()
    np.testing.assert_allclose(answer(network, images()), expected, atol=1e-5)


def test_a_pruned_checkpoint_can_be_uploaded_again_as_onnx(tmp_path: Path) -> None:
    network = uploaded(FAMILIES["mobilenet-v2"]())
    groups = channel_groups(network)
    kept = all_kept(groups)
    half = {group.id: kept[group.id][:: 2 if group.prunable else 1] for group in groups}
    pruned = prune(network.graph, groups, network, kept, half)
    again = read(write_onnx(pruned), tmp_path)
    assert costs(again.graph) == costs(pruned.graph)
    batch = images(INPUT_SHAPE)
    np.testing.assert_allclose(answer(again, batch), answer(pruned, batch), atol=1e-5)
    assert {group.id for group in channel_groups(again)} == {group.id for group in channel_groups(pruned)}


FOLDED: dict[str, Any] = {}
KEPT = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False, "keep_initializers_as_inputs": True}


@pytest.mark.parametrize(
    ("family", "opset", "how"),
    [
        ("mobilenet-v2", 11, FOLDED),
        ("mobilenet-v3-small", 13, FOLDED),
        ("mobilenet-v3-small", 17, FOLDED),
        ("resnet-18", 17, KEPT),
        ("mobilenet-v3-large", 12, KEPT),
        ("plain-chain", 11, {"dynamic_axes": None}),
    ],
)
def test_torchs_exporter_is_read(family: str, opset: int, how: dict[str, Any], tmp_path: Path) -> None:
    original = FAMILIES[family]()
    network = read(exported_onnx(original, INPUT_SHAPE, opset, **how), tmp_path)
    batch = images(INPUT_SHAPE)
    with torch.inference_mode():
        expected = original(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(answer(network, batch), expected, atol=1e-4)
    folded = how is FOLDED
    assert ("batch_norm" in operators(network)) == (not folded and family != "plain-chain")
    assert costs(network.graph).macs == costs(uploaded(original).graph).macs
    convolutions = [node for node in network.graph.nodes if node.operator == "conv2d"]
    assert all(("bias" in node.weights) for node in convolutions) or not folded
    state = original.state_dict()
    if folded:
        paths = {name.rpartition(".")[0] for name in state}
        assert {name.rpartition(".")[0] for name in network.weights} <= paths
    else:
        assert network.weights.keys() == state.keys()


class ManyWords(nn.Module):
    """What older opsets must spell out: GELU, Mish, a flatten over computed sizes, split and concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.slope = nn.PReLU(8)
        self.left = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.right = nn.Conv2d(4, 6, 1, stride=2)
        self.pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.fc = nn.Linear(10 * 5 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.gelu(self.slope(self.stem(x)))
        one, two = x.chunk(2, 1)
        x = torch.cat([nn.functional.mish(self.left(one)), nn.functional.elu(self.right(two))], 1)
        x = self.pool(nn.functional.leaky_relu(x, 0.2)) * 0.5 - 0.1
        return torch.softmax(self.fc(x.view(x.size(0), -1)), 1)


@pytest.mark.parametrize("opset", [11, 13, 17, 20])
def test_operators_that_older_opsets_spell_out_are_one(opset: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = ManyWords().eval()
    content = exported_onnx(original, IMAGE, opset)
    network = read(content, tmp_path)
    with torch.inference_mode():
        expected = original(torch.from_numpy(images())).numpy()
    np.testing.assert_allclose(answer(network, images()), expected, atol=1e-5)
    assert {"gelu", "mish", "prelu", "elu", "slice", "cat", "flatten", "linear", "softmax"} <= set(operators(network))
    assert costs(network.graph) == costs(uploaded(original, IMAGE).graph)


def test_tensors_that_an_exporter_stored_once_belong_to_each_layer(tmp_path: Path) -> None:
    """torch keeps equal vectors of an untrained network once."""
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)]
    original = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    network = read(exported_onnx(original, IMAGE, **{**KEPT, "keep_initializers_as_inputs": False}), tmp_path)
    assert network.weights.keys() == original.state_dict().keys()
    with torch.inference_mode():
        expected = original(torch.from_numpy(images())).numpy()
    np.testing.assert_allclose(answer(network, images()), expected, atol=1e-5)


VECTOR = numbers(6, seed=7)
POSITIVE = np.abs(VECTOR) + 0.5


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def real(value: float) -> np.ndarray:
    return np.array(value, np.float32)


# name: (nodes from s [N, 6, 9, 8] to b, initialisers, channels of b, opset, operators expected among ours)
def branch(op_type: str, value: str, output: str) -> onnx.GraphProto:
    info = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    return helper.make_graph([node(op_type, value, output)], "branch", [], info)


def cell_places(size: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """[cells, pixels]: the pixels of each cell, the last one again where a cell has fewer; and which those are."""
    starts = np.arange(cells) * size // cells
    lengths = -(-np.arange(1, cells + 1) * size // cells) - starts
    steps = np.arange(lengths.max())
    return np.minimum(starts[:, None] + steps, size - 1), steps >= lengths[:, None]


ROWS, COLUMNS = cell_places(9, 4), cell_places(8, 3)
CELLS = {  # how torch's newer exporter averages over cells of several sizes
    "places": np.stack(np.broadcast_arrays(ROWS[0][:, :, None, None], COLUMNS[0]), -1),
    "excess": COLUMNS[1],
    "counts": np.outer(3 - ROWS[1].sum(1), 4 - COLUMNS[1].sum(1)).astype(np.float32),
    "nothing": np.float32(0),
    **{f"at{index}": np.int64(index) for index in range(4)},
}
SUMMED = [f"p{row}{column}" for row in range(3) for column in range(4)]


BODIES: dict[str, tuple[list[Any], dict[str, np.ndarray], int, int, list[str]]] = {
    "relu": ([node("Relu", "s", "b")], {}, 6, 11, ["relu"]),
    "clip is relu6": ([node("Clip", "s low high", "b")], {"low": real(0), "high": real(6)}, 6, 11, ["relu6"]),
    "clip by attributes": ([node("Clip", "s", "b", min=0.0, max=6.0)], {}, 6, 10, ["relu6"]),
    "clip below only": ([node("Clip", "s low", "b")], {"low": real(0)}, 6, 12, ["relu"]),
    "clip of constants": (
        [
            helper.make_node("Constant", [], ["low"], value=numpy_helper.from_array(real(-1))),
            helper.make_node("Constant", [], ["high"], value_float=1.0),
            node("Clip", "s low high", "b"),
        ],
        {},
        6,
        13,
        ["clamp"],
    ),
    "h-swish of parts": (
        [node("HardSigmoid", "s", "gate", alpha=1 / 6, beta=0.5), node("Mul", "s gate", "b")],
        {},
        6,
        13,
        ["hardswish"],
    ),
    "h-swish by hand": (
        [
            node("Add", "s three", "t"),
            node("Clip", "t low high", "u"),
            node("Mul", "s u", "v"),
            node("Div", "v six", "b"),
        ],
        {"three": real(3), "low": real(0), "high": real(6), "six": real(6)},
        6,
        13,
        ["hardswish"],
    ),
    "h-swish": ([node("HardSwish", "s", "b")], {}, 6, 14, ["hardswish"]),
    "swish": ([node("Sigmoid", "s", "t"), node("Mul", "t s", "b")], {}, 6, 13, ["silu"]),
    "relu6 of parts": (
        [node("Relu", "s", "t"), node("Min", "t six", "b")],
        {"six": np.array(6, np.float32)},
        6,
        13,
        ["relu6"],
    ),
    "max with zero": ([node("Max", "zero s", "b")], {"zero": np.array([0], np.float32)}, 6, 13, ["relu"]),
    "elu": ([node("Elu", "s", "b", alpha=0.5)], {}, 6, 11, ["elu"]),
    "leaky": ([node("LeakyRelu", "s", "b")], {}, 6, 11, ["leaky_relu"]),
    "prelu": ([node("PRelu", "s slope", "b")], {"slope": VECTOR.reshape(6, 1, 1)}, 6, 11, ["prelu"]),
    "gelu": ([node("Gelu", "s", "b")], {}, 6, 20, ["gelu"]),
    "lrn": ([node("LRN", "s", "b", size=3, alpha=0.01, beta=0.6, bias=2.0)], {}, 6, 13, ["local_response_norm"]),
    "batch norm": (
        [node("BatchNormalization", "s scale shift mean var", "b", epsilon=1e-3)],
        {"scale": VECTOR, "shift": VECTOR, "mean": VECTOR, "var": POSITIVE},
        6,
        15,
        ["batch_norm"],
    ),
    "bias behind a convolution": (
        [node("Conv", "s w", "t", kernel_shape=[1, 1]), node("Add", "t shift", "b")],
        {"w": numbers(5, 6, 1, 1), "shift": numbers(1, 5, 1, 1)},
        5,
        13,
        ["conv2d"],
    ),
    "scale by channel": ([node("Mul", "s factor", "b")], {"factor": VECTOR.reshape(6, 1, 1)}, 6, 13, ["scale"]),
    "sum": ([node("Relu", "s", "t"), node("Sum", "s t t", "b")], {}, 6, 13, ["relu", "add", "add"]),
    "differences": (
        [node("Sub", "one s", "t"), node("Sub", "t two", "u"), node("Sub", "u s", "b")],
        {"one": real(1), "two": np.array([2], np.float32)},
        6,
        13,
        ["mul_scalar", "add_scalar", "add_scalar", "sub"],
    ),
    "depthwise, same upper, stride 2": (
        [node("Conv", "s w", "b", auto_pad="SAME_UPPER", strides=[2, 2], group=6)],
        {"w": numbers(6, 1, 3, 3)},
        6,
        13,
        ["pad", "conv2d"],
    ),
    "same lower": (
        [node("Conv", "s w", "b", auto_pad="SAME_LOWER")],
        {"w": numbers(7, 6, 2, 4)},
        7,
        13,
        ["pad", "conv2d"],
    ),
    "valid": ([node("Conv", "s w", "b", auto_pad="VALID")], {"w": numbers(7, 6, 3, 1)}, 7, 13, ["conv2d"]),
    "uneven pads": (
        [node("Conv", "s w", "b", pads=[0, 1, 2, 0])],
        {"w": numbers(7, 6, 3, 2)},
        7,
        13,
        ["pad", "conv2d"],
    ),
    "max pool, same upper": (
        [node("MaxPool", "s", "b", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")],
        {},
        6,
        13,
        ["max_pool2d"],
    ),
    "max pool, ceil": (
        [node("MaxPool", "s", "b", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)],
        {},
        6,
        13,
        ["max_pool2d"],
    ),
    "average pool, same upper": (
        [node("AveragePool", "s", "b", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER")],
        {},
        6,
        13,
        ["avg_pool2d"],
    ),
    "average pool, uneven and counted": (
        [node("AveragePool", "s", "b", kernel_shape=[3, 3], pads=[0, 0, 1, 1], count_include_pad=1)],
        {},
        6,
        13,
        ["pad", "avg_pool2d"],
    ),
    "average pool, padding not counted": (
        [node("AveragePool", "s", "b", kernel_shape=[3, 3], pads=[1, 1, 1, 1])],
        {},
        6,
        13,
        ["avg_pool2d"],
    ),
    "pad as a node": (
        [node("Pad", "s pads", "t"), node("Conv", "t w", "b")],
        {"pads": ints(0, 0, 1, 1, 0, 0, 1, 1), "w": numbers(6, 6, 3, 3)},
        6,
        13,
        ["pad", "conv2d"],
    ),
    "split by sizes": (
        [node("Split", "s sizes", "t u", axis=1), node("Relu", "u", "v"), node("Concat", "v t", "b", axis=1)],
        {"sizes": ints(2, 4)},
        6,
        13,
        ["slice", "slice", "relu", "cat"],
    ),
    "split by attribute": (
        [node("Split", "s", "t u", axis=-3, split=[2, 4]), node("Relu", "u", "b")],
        {},
        4,
        11,
        ["slice", "relu"],
    ),
    "slice": (
        [node("Slice", "s starts ends axes", "b")],
        {"starts": ints(1, 2), "ends": ints(5, 2**62), "axes": ints(1, 2)},
        4,
        13,
        ["slice", "slice"],
    ),
    "channels last and back": (
        [node("Transpose", "s", "t", perm=[0, 2, 3, 1]), node("Transpose", "t", "b", perm=[0, 3, 1, 2])],
        {},
        6,
        13,
        [],
    ),
    "channel shuffle": (
        [
            node("Reshape", "s apart", "t"),
            node("Transpose", "t", "u", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "u together", "b"),
        ],
        {"apart": ints(-1, 2, 3, 9, 8), "together": ints(-1, 6, 9, 8)},
        6,
        13,
        ["channel_shuffle"],
    ),
    "hard sigmoid with another library's numbers": (
        [node("HardSigmoid", "s", "b")],
        {},
        6,
        13,
        ["mul_scalar", "add_scalar", "clamp"],
    ),
    "a vector that no layer takes": (
        [node("Relu", "s", "t"), node("Sub", "t c", "u"), node("Div", "u d", "b")],
        {"c": numbers(6, 1, 1), "d": np.abs(numbers(1, 6, 1, 1)) + 1},
        6,
        13,
        ["relu", "scale", "scale"],
    ),
    "reciprocals": (
        [node("Abs", "s", "t"), node("Add", "t one", "u"), node("Reciprocal", "u", "v"), node("Div", "one v", "b")],
        {"one": real(1.0)},
        6,
        13,
        ["abs", "add_scalar", "reciprocal", "reciprocal", "mul_scalar"],
    ),
    "functions of one value": (
        [
            node("Exp", "s", "t"),
            node("Sqrt", "t", "u"),
            node("Erf", "u", "v"),
            node("Neg", "v", "w"),
            node("Pow", "w two", "b"),
        ],
        {"two": real(2.0)},
        6,
        13,
        ["exp", "sqrt", "erf", "neg", "pow_scalar"],
    ),
    "the larger and the smaller of two": (
        [node("Relu", "s", "t"), node("Max", "s t", "u"), node("Tanh", "s", "v"), node("Min", "u v", "b")],
        {},
        6,
        13,
        ["relu", "maximum", "tanh", "minimum"],
    ),
    "largest and total of the image as a gate": (
        [
            node("GlobalMaxPool", "s", "t"),
            node("ReduceSum", "s axes", "u", keepdims=1),
            node("Add", "t u", "v"),
            node("ReduceMax", "s", "r", axes=[2, 3]),
            node("Mul", "v r", "g"),
            node("Sigmoid", "g", "h"),
            node("Mul", "s h", "b"),
        ],
        {"axes": ints(-1, -2)},
        6,
        13,
        ["amax", "reduce", "add", "amax", "mul", "sigmoid", "mul"],
    ),
    "a gate spread out": (
        [
            node("GlobalAveragePool", "s", "t"),
            node("Sigmoid", "t", "u"),
            node("Shape", "s", "sizes"),
            node("Expand", "u sizes", "v"),
            node("Mul", "v s", "b"),
        ],
        {},
        6,
        13,
        ["adaptive_avg_pool2d", "sigmoid", "mul"],
    ),
    "channel attention along a row": (
        [
            node("ReduceMean", "s", "m", axes=[2, 3], keepdims=0),
            node("Reshape", "m row", "t"),
            node("Conv", "t w", "u", pads=[1, 1]),
            node("Sigmoid", "u", "v"),
            node("Reshape", "v image", "g"),
            node("Expand", "g whole", "h"),
            node("Mul", "s h", "b"),
        ],
        {"row": ints(0, 1, -1), "w": numbers(1, 1, 3), "image": ints(-1, 6, 1, 1), "whole": ints(1, 6, 9, 8)},
        6,
        13,
        ["mean", "reshape", "conv1d", "sigmoid", "reshape", "mul"],
    ),
    "attention over positions": (
        [
            node("Reshape", "s rows", "k"),
            node("Transpose", "k", "q", perm=[0, 2, 1]),
            node("MatMul", "k q", "a"),
            node("Softmax", "a", "p", axis=-1),
            node("MatMul", "p k", "o"),
            node("Reshape", "o image", "b"),
        ],
        {"rows": ints(0, 6, -1), "image": ints(0, 6, 9, 8)},
        6,
        13,
        ["reshape", "permute", "matmul", "softmax", "matmul", "reshape"],
    ),
    "resized to the nearest, and between": (
        [
            node("Resize", "s - twice", "t", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
            node("Resize", "t - twice", "u", mode="nearest"),
            node("Resize", "u - - small", "b", mode="linear", coordinate_transformation_mode="align_corners"),
        ],
        {"twice": np.array([1, 1, 2, 2], np.float32), "small": ints(3, 6, 36, 32)},
        6,
        13,
        ["resize", "resize", "resize"],
    ),
    "values in a row and out of it again": (
        [
            node("Reshape", "s row", "t"),
            node("Shape", "s", "sizes"),
            node("Gather", "sizes first", "n"),
            node("Range", "zero n one", "images"),
            node("Mul", "images size", "starts"),
            node("Unsqueeze", "starts axes", "column"),
            node("Add", "column places", "all"),
            node("Gather", "t all", "b"),
        ],
        {
            "row": ints(-1),
            "first": np.int64(0),
            "zero": np.int64(0),
            "one": np.int64(1),
            "size": np.int64(6 * 9 * 8),
            "axes": ints(1, 2, 3),
            "places": np.arange(6 * 9 * 8).reshape(1, 6, 9, 8),
        },
        6,
        13,
        [],
    ),
    "instance norm": (
        [node("InstanceNormalization", "s w c", "b", epsilon=1e-3)],
        {"w": numbers(6), "c": numbers(6, seed=5)},
        6,
        13,
        ["instance_norm"],
    ),
    "gelu of a polynomial": (
        [
            node("Mul", "s s", "q"),
            node("Mul", "s q", "c"),
            node("Mul", "c third", "t"),
            node("Add", "s t", "a"),
            node("Mul", "a root", "i"),
            node("Tanh", "i", "h"),
            node("Add", "h one", "o"),
            node("Mul", "s half", "f"),
            node("Mul", "f o", "b"),
        ],
        {"third": real(0.044715), "root": real(0.7978846), "one": real(1.0), "half": real(0.5)},
        6,
        13,
        ["gelu"],
    ),
    "positions as rows of a matrix": (
        [
            node("Transpose", "s", "t", perm=[0, 2, 3, 1]),
            node("Reshape", "t rows", "u"),
            node("Gemm", "u w c", "v"),
            node("Reshape", "v back", "o"),
            node("Transpose", "o", "b", perm=[0, 3, 1, 2]),
        ],
        {"rows": ints(-1, 6), "w": numbers(6, 5), "c": numbers(5), "back": ints(-1, 9, 8, 5)},
        5,
        13,
        ["permute", "linear", "permute"],
    ),
    "padding that no maximum takes": (
        [
            node("Pad", "s pads below", "t"),
            node("MaxPool", "t", "u", kernel_shape=[3, 3], strides=[2, 2]),
            node("Clip", "u below above", "b"),
        ],
        {"pads": ints(0, 0, 1, 0, 0, 0, 1, 1), "below": real(-np.inf), "above": real(2.0)},
        6,
        13,
        ["pad", "max_pool2d", "clamp"],
    ),
    "zeros that are stored once": (
        [node("Conv", "s w", "t"), node("Add", "t s", "u"), node("Conv", "u w", "v"), node("Add", "v u", "b")],
        {"w": np.zeros((6, 6, 1, 1), np.float32)},
        6,
        13,
        ["conv2d", "add", "conv2d", "add"],
    ),
    "average over cells that do not divide": (
        [
            node("Transpose", "s", "t", perm=[2, 3, 0, 1]),
            node("GatherND", "t places", "g"),
            node("Transpose", "g", "i", perm=[4, 5, 0, 1, 2, 3]),
            node("Where", "excess nothing i", "m"),
            *(node("Gather", f"m at{row}", f"p{row}", axis=3) for row in range(3)),
            *(node("Gather", f"p{name[1]} at{name[2]}", name, axis=4) for name in SUMMED),
            node("Add", "p00 p01", "sum1"),
            *(node("Add", f"sum{count} {name}", f"sum{count + 1}") for count, name in enumerate(SUMMED[2:], 1)),
            node("Div", "sum11 counts", "b"),
        ],
        CELLS,
        6,
        13,
        ["adaptive_avg_pool2d"],
    ),
    "squeezed and unsqueezed": (
        [
            node("GlobalAveragePool", "s", "t"),
            node("Squeeze", "t last", "u"),
            node("Unsqueeze", "u last", "v"),
            node("Reshape", "v row", "w"),
            node("Reshape", "w image", "g"),
            node("Mul", "s g", "b"),
        ],
        {"last": ints(3), "row": ints(0, -1), "image": ints(-1, 6, 1, 1)},
        6,
        13,
        ["adaptive_avg_pool2d", "mul"],
    ),
    "layer norm of the channels, written out": (
        [
            node("ReduceMean", "s", "m", axes=[1]),
            node("Sub", "s m", "d"),
            node("Pow", "d two", "q"),
            node("ReduceMean", "q", "v", axes=[1]),
            node("Add", "v eps", "e"),
            node("Sqrt", "e", "r"),
            node("Div", "d r", "n"),
            node("Mul", "n w", "o"),
            node("Add", "o c", "b"),
        ],
        {"two": real(2.0), "eps": real(1e-6), "w": numbers(6, 1, 1), "c": numbers(6, 1, 1, seed=3)},
        6,
        13,
        ["permute", "layer_norm", "permute"],
    ),
    "group norm, written out": (
        [
            node("Reshape", "s apart", "t"),
            node("InstanceNormalization", "t one none", "u"),
            node("Reshape", "u together", "v"),
            node("Mul", "v w", "o"),
            node("Add", "o c", "b"),
        ],
        {
            "apart": ints(0, 3, -1),
            "together": ints(0, 6, 9, 8),
            "one": np.ones(3, np.float32),
            "none": np.zeros(3, np.float32),
            "w": numbers(6, 1, 1),
            "c": numbers(6, 1, 1, seed=3),
        },
        6,
        13,
        ["group_norm"],
    ),
    "if, of a shape that is known": (
        [
            node("Shape", "s", "sizes"),
            node("Gather", "sizes place", "rows"),
            node("Equal", "rows nine", "is"),
            node("If", "is", "b", then_branch=branch("Relu", "s", "t"), else_branch=branch("Tanh", "s", "u")),
        ],
        {"place": np.int64(2), "nine": np.int64(9)},
        6,
        13,
        ["relu"],
    ),
    "dropout with inputs": (
        [node("Dropout", "s ratio", "t", seed=3), node("Identity", "t", "b")],
        {"ratio": real(0.3)},
        6,
        13,
        ["dropout"],
    ),
}


@pytest.mark.parametrize("case", sorted(BODIES))
def test_bodies_of_other_exporters(case: str, tmp_path: Path) -> None:
    nodes, tensors, channels, opset, expected = BODIES[case]
    content = between(nodes, tensors, channels=channels, opset=opset)
    if opset == 20:
        content.ir_version = 9
    network = read(content, tmp_path)
    np.testing.assert_allclose(
        answer(network, images()), onnx_answer(content.SerializeToString(), images()), atol=2e-5, rtol=1e-4
    )
    assert operators(network) == ["conv2d", *expected, "adaptive_avg_pool2d", "flatten", "linear"]
    assert read(write_onnx(network), tmp_path).graph.nodes[-1].operator == "linear"


FC = {"w": numbers(6, 4), "c": numbers(4, seed=4)}
# name: (nodes from s [N, 6, 9, 8] to y [N, 4], initialisers, opset, ways to state the batch)
HEADS: dict[str, tuple[list[Any], dict[str, np.ndarray], int, tuple[str | int, ...]]] = {
    "a product between two reshapes": (
        [
            node("Reshape", "s row", "f"),
            node("Gemm", "f wide c", "g"),
            node("Reshape", "g classes", "y"),
        ],
        {"row": ints(-1, 6 * 9 * 8), "wide": numbers(6 * 9 * 8, 4), "c": FC["c"], "classes": ints(-1, 4)},
        13,
        ("N", 3),
    ),
    "factors of Gemm": (
        [
            node("GlobalAveragePool", "s", "p"),
            node("Flatten", "p", "f"),
            node("Gemm", "f w c", "y", alpha=0.5, beta=2.0),
        ],
        FC,
        13,
        ("N",),
    ),
    "Gemm without C": (
        [node("GlobalAveragePool", "s", "p"), node("Flatten", "p", "f"), node("Gemm", "f w", "y")],
        FC,
        13,
        ("N",),
    ),
    "MatMul and Add": (
        [
            node("ReduceMean", "s", "m", axes=[2, 3], keepdims=0),
            node("MatMul", "m w", "h"),
            node("Add", "c h", "z"),
            node("Softmax", "z", "y"),
        ],
        FC,
        13,
        ("N", 1, 3),
    ),
    "MatMul with a turned matrix": (
        [
            node("ReduceMean", "s", "m", axes=[-1, -2], keepdims=0),
            node("Transpose", "turned", "t", perm=[1, 0]),
            node("MatMul", "m t", "y"),
        ],
        {"turned": numbers(4, 6)},
        13,
        ("N",),
    ),
    "mean with axes as an input": (
        [node("ReduceMean", "s axes", "m", keepdims=1), node("Squeeze", "m both", "f"), node("Gemm", "f w c", "y")],
        {**FC, "axes": ints(2, 3), "both": ints(2, 3)},
        18,
        ("N", 1),
    ),
    "squeeze by attribute": (
        [node("GlobalAveragePool", "s", "p"), node("Squeeze", "p", "f", axes=[2, 3]), node("Gemm", "f w c", "y")],
        FC,
        11,
        ("N", 1),
    ),
    "reshape with the batch baked in": (
        [node("GlobalAveragePool", "s", "p"), node("Reshape", "p to", "f"), node("Gemm", "f w c", "y")],
        {**FC, "to": ints(1, 6)},
        13,
        (1,),
    ),
    "reshape with zero and minus one": (
        [node("GlobalAveragePool", "s", "p"), node("Reshape", "p to", "f"), node("Gemm", "f w c", "y")],
        {**FC, "to": ints(0, -1)},
        13,
        ("N", 1),
    ),
    "reshape by computed sizes": (
        [
            node("Shape", "s", "all"),
            node("Gather", "all zero", "n", axis=0),
            node("Unsqueeze", "n", "n1", axes=[0]),
            node("Concat", "n1 rest", "to", axis=0),
            node("GlobalAveragePool", "s", "p"),
            node("Reshape", "p to", "f"),
            node("Gemm", "f w c", "y"),
        ],
        {**FC, "zero": np.array(0, np.int64), "rest": ints(-1)},
        11,
        ("N", 1),
    ),
    "reshape by sliced and multiplied sizes": (
        [
            node("Shape", "s", "all"),
            node("Slice", "all zero one", "n"),
            node("Slice", "all one four", "image"),
            node("ReduceProd", "image", "features", keepdims=1),
            node("Cast", "features", "cast", to=TensorProto.INT64),
            node("Concat", "n cast", "to", axis=0),
            node("Reshape", "s to", "f"),
            node("Gemm", "f wide c", "y"),
        ],
        {"wide": numbers(6 * 9 * 8, 4), "c": FC["c"], "zero": ints(0), "one": ints(1), "four": ints(4)},
        13,
        ("N", 2),
    ),
    "softmax at opset 11": (
        [node("GlobalAveragePool", "s", "p"), node("Flatten", "p", "f"), node("Softmax", "f", "y")],
        {},
        11,
        ("N",),
    ),
}


@pytest.mark.parametrize(
    ("case", "batch"), [(case, batch) for case in sorted(HEADS) for batch in HEADS[case][3]], ids=str
)
def test_heads_of_other_exporters(case: str, batch: str | int, tmp_path: Path) -> None:
    nodes, tensors, opset, _ = HEADS[case]
    first, weights = stem()
    content = model([*first, *nodes], {**weights, **tensors}, opset=opset, batch=batch)
    network = read(content, tmp_path)
    count = batch if isinstance(batch, int) else 3
    expected = onnx_answer(content.SerializeToString(), images(count=count))
    np.testing.assert_allclose(answer(network, images(count=count)), expected, atol=2e-5)
    assert answer(network, images(count=4)).shape == expected[:1].repeat(4, 0).shape
    assert {"matmul", "div", "reshape"}.isdisjoint(operators(network))


def bits(array: np.ndarray) -> list[int]:
    return array.view(np.uint16).ravel().tolist()


def bfloat16(array: np.ndarray) -> np.ndarray:
    return (array.view(np.uint32) >> 16).astype(np.uint16)


WEIGHT = numbers(6, 3, 3, 3)
STORED = {
    "float raw": numpy_helper.from_array(WEIGHT, "stem.weight"),
    "float list": helper.make_tensor("stem.weight", TensorProto.FLOAT, WEIGHT.shape, WEIGHT.ravel().tolist()),
    "double raw": numpy_helper.from_array(WEIGHT.astype(np.float64), "stem.weight"),
    "double list": helper.make_tensor("stem.weight", TensorProto.DOUBLE, WEIGHT.shape, WEIGHT.ravel().tolist()),
    "half raw": numpy_helper.from_array(WEIGHT.astype(np.float16), "stem.weight"),
    "half list": TensorProto(
        name="stem.weight", data_type=TensorProto.FLOAT16, dims=WEIGHT.shape, int32_data=bits(WEIGHT.astype(np.float16))
    ),
    "bfloat16 raw": TensorProto(
        name="stem.weight", data_type=TensorProto.BFLOAT16, dims=WEIGHT.shape, raw_data=bfloat16(WEIGHT).tobytes()
    ),
    "bfloat16 list": TensorProto(
        name="stem.weight", data_type=TensorProto.BFLOAT16, dims=WEIGHT.shape, int32_data=bits(bfloat16(WEIGHT))
    ),
}


@pytest.mark.parametrize("stored", sorted(STORED))
def test_weights_of_every_float_type_become_float32(stored: str, tmp_path: Path) -> None:
    content = between([node("Relu", "s", "b")])
    (place,) = [i for i, tensor in enumerate(content.graph.initializer) if tensor.name == "stem.weight"]
    content.graph.initializer[place].CopyFrom(STORED[stored])
    tensor = read(content, tmp_path).weights["stem.weight"]
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor, WEIGHT, rtol=1e-2 if "16" in stored else 1e-3)


def test_names_that_no_state_dict_has_become_such_names_each_once(tmp_path: Path) -> None:
    tensors = {
        "conv1/kernel:0": numbers(6, 3, 3, 3),
        "conv1/kernel": numbers(6, 6, 1, 1),
        "forward": numbers(6, 6, 1, 1),
        "a.weight": numbers(6, 6, 1, 1),
        "a.weight.weight": numbers(6, 6, 1, 1),
    }
    convolutions = [
        node("Conv", f"{source} {name}", output)
        for source, name, output in zip(["x", "t", "u", "v", "w"], tensors, ["t", "u", "v", "w", "b"], strict=True)
    ]
    last, more = head("b", 6)
    content = model([*convolutions, *last], {**tensors, **more})
    network, again = read(content, tmp_path), read(content, tmp_path)
    assert list(network.weights) == list(again.weights)
    assert {"conv1_kernel_0.weight", "conv1_kernel.weight", "a.weight", "fc.weight", "fc.bias"} <= set(network.weights)
    assert not any(name.startswith(("forward", "a.weight.")) for name in network.weights)
    np.testing.assert_allclose(answer(network, images()), onnx_answer(content.SerializeToString(), images()), atol=1e-5)


def test_a_file_is_known_by_its_content_alone(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(between([node("Relu", "s", "b")]).SerializeToString())
    assert costs(read_network(path).graph).macs == 6 * 27 * 72 + 24


def keras_like() -> onnx.ModelProto:
    """Images [N, 9, 8, 3], and every value between two convolutions as [N, H, W, C], as Keras has it."""

    def convolution(value: str, weight: str, output: str) -> list[onnx.NodeProto]:
        return [
            node("Transpose", value, f"{output}_in", perm=[0, 3, 1, 2]),
            node("Conv", f"{output}_in {weight}", f"{output}_out"),
            node("Transpose", f"{output}_out", output, perm=[0, 2, 3, 1]),
        ]

    nodes = [
        node("Mul", "x half", "scaled"),
        node("Sub", "scaled means", "shifted"),
        *convolution("shifted", "w1", "a"),
        node("Add", "a shift", "biased"),
        node("Relu", "biased", "r"),
        node("Pad", "r pads", "p"),
        *convolution("p", "w2", "c"),
        node("Mul", "c factors", "d"),
        node("ReduceMean", "d", "mean", axes=[1, 2], keepdims=0),
        node("Reshape", "mean pixel", "excite"),
        *convolution("excite", "w3", "gate"),
        node("Sigmoid", "gate", "opened"),
        node("Mul", "d opened", "e"),
        node("Concat", "e d", "both", axis=-1),
        node("Slice", "both starts ends axes", "part"),
        node("Flatten", "part", "flat"),
        node("Gemm", "flat w4", "y"),
    ]
    tensors = {
        "half": np.float32(0.5),
        "means": numbers(3),
        "w1": numbers(6, 3, 3, 3),
        "shift": numbers(6),
        "pads": np.array([0, 1, 0, 0, 0, 0, 1, 0]),
        "w2": numbers(4, 6, 3, 3),
        "factors": numbers(1, 1, 1, 4),
        "pixel": np.array([-1, 1, 1, 4]),
        "w3": numbers(4, 4, 1, 1),
        "starts": np.array([1]),
        "ends": np.array([4]),
        "axes": np.array([2]),
        "w4": numbers(6 * 3 * 8, 4),
    }
    return model(nodes, tensors, image=(9, 8, 3), opset=13)


def test_images_with_channels_last_are_read_as_channels_first(tmp_path: Path) -> None:
    content = keras_like()
    network = read(content, tmp_path)
    assert network.graph.input_shape == (3, 9, 8)
    batch = images((3, 9, 8))
    expected = onnx_answer(content.SerializeToString(), np.ascontiguousarray(batch.transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(answer(network, batch), expected, atol=2e-5, rtol=1e-4)
    assert "permute" not in operators(network)
    first, second, *_ = (each for each in network.graph.nodes if each.operator == "conv2d")
    assert ("bias" in first.weights, "bias" in second.weights) == (True, False)
    assert next(
        group for group in channel_groups(network) if first.layer in group.id or first.name in group.id
    ).prunable
