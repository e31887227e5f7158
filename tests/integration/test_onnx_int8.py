"""The quantised file: what it computes, that it is the same twice, and the quick ones that are only timed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from adapt.formats.onnx_int8 import QuantizedVariants, write_onnx_int8
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.folding import with_folded_batch_norms
from adapt.graph.network import Network
from adapt.graph.pruning import pruned_graph
from adapt.groups import channel_groups
from adapt.latency.attribution import attribute, with_plain_names
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.onnxruntime import OnnxRuntime
from adapt.latency.units import find_units
from adapt.latency.variants import random_network, variant_counts
from tests.more_networks import DenseNet
from tests.networks import FAMILIES, INPUT_SHAPE, uploaded

INT8 = RuntimeChoice(precision="int8")
ROOT = Path(__file__).resolve().parents[2]
KINDS = [name for name in FAMILIES if name != "mobilenet-v3-large"]  # the small one has all of its operators


def images(count: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, *INPUT_SHAPE), dtype=np.float32)


def scores(file: bytes, network: Network, batch: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(file)
    (found,) = session.run(None, {network.graph.input_name: batch})
    return np.asarray(found)


@pytest.fixture(scope="module", params=KINDS)
def network(request: pytest.FixtureRequest) -> Network:
    return uploaded(FAMILIES[request.param]())


def test_folding_batch_norms_changes_nothing_that_is_computed(network: Network) -> None:
    folded = with_folded_batch_norms(network)
    before, after = (scores(write_onnx(one), network, images(4)) for one in (network, folded))
    assert np.abs(before - after).max() < 1e-4 * np.abs(before).max()
    assert not any(node.operator == "batch_norm" for node in folded.graph.nodes)
    assert folded.weights.keys() == folded.graph.weight_shapes.keys()


def test_no_kernel_of_a_quantised_family_is_left_over_and_layers_run_in_int8(network: Network) -> None:
    graph = with_plain_names(network.graph)
    units = find_units(graph)
    random = random_network(graph)
    kernels = OnnxRuntime(INT8).profile(QuantizedVariants(random, reduce_range=False).write(random), 3)
    times, unattributed = attribute(kernels, units, graph)
    assert unattributed.kernels == 0
    assert sum(time.kernels for time in times) == len(kernels)
    assert all(time.kernels for unit, time in zip(units, times, strict=True) if "conv" in unit.operator)
    assert not {"Conv", "FusedConv", "Gemm"} & {kernel.operator for kernel in kernels}


def test_a_quick_variant_runs_as_the_quantised_network_of_its_structure_does(network: Network) -> None:
    graph, groups = with_plain_names(network.graph), channel_groups(network)
    variants = QuantizedVariants(random_network(graph), reduce_range=False)
    _, smallest, some = variant_counts(groups, 3, 1, multiple=8, minimum=8)
    for counts in (smallest, some):
        pruned = random_network(pruned_graph(graph, groups, counts))
        quick, earnest = variants.write(pruned), write_onnx_int8(pruned, images(1), reduce_range=False)
        assert _kernels(quick) == _kernels(earnest)
        assert _shapes(quick) == _shapes(earnest)


def test_a_quick_variant_keeps_batch_norms_that_no_convolution_comes_before() -> None:
    network = uploaded(DenseNet())
    graph, groups = with_plain_names(network.graph), channel_groups(network)
    variants = QuantizedVariants(random_network(graph), reduce_range=False)
    _, smallest, _ = variant_counts(groups, 3, 1, multiple=2, minimum=2)
    pruned = random_network(pruned_graph(graph, groups, smallest))
    quick, earnest = variants.write(pruned), write_onnx_int8(pruned, images(1), reduce_range=False)
    assert "BatchNormalization" in {node.op_type for node in onnx.load_from_string(quick).graph.node}
    assert _kernels(quick) == _kernels(earnest)
    assert _shapes(quick) == _shapes(earnest)


def _kernels(file: bytes) -> list[tuple[str, str]]:
    return [(kernel.name, kernel.operator) for kernel in OnnxRuntime(INT8).profile(file, 1)]


def _shapes(file: bytes) -> dict[str, tuple[int, tuple[int, ...]]]:
    tensors = onnx.load_from_string(file).graph.initializer
    return {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in tensors}


def test_it_scores_about_as_the_network_does() -> None:
    """Which of the two is nearer hangs on the processor: eight bits may overflow on one without VNNI."""
    network = uploaded(FAMILIES["plain-chain"]())
    batch = images(64)
    exact = scores(write_onnx(network), network, batch)
    eight, seven = (
        np.abs(scores(write_onnx_int8(network, batch[:32], reduce_range=reduce), network, batch) - exact).mean()
        for reduce in (False, True)
    )
    assert max(eight, seven) < 0.05 * np.abs(exact).max()


def test_the_same_network_gives_the_same_bytes_in_any_process() -> None:
    script = (
        "import hashlib\n"
        "from adapt.formats.onnx_int8 import write_onnx_int8\n"
        "import numpy as np\n"
        "from tests.small_task import small_network\n"
        "images = np.random.default_rng(0).random((8, 1, 8, 8), dtype=np.float32)\n"
        "file = write_onnx_int8(small_network()[0], images, reduce_range=False)\n"
        "print(hashlib.sha256(file).hexdigest())\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
