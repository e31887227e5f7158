"""Weights as other libraries write them, under a zoo name: read, computed with, or refused with what would help."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from adapt.errors import FormatRefused, NetworkRefused
from adapt.formats.sandbox import read_in_child
from adapt.graph.costs import costs
from adapt.graph.network import Network
from adapt.modules import build_module
from adapt.zoo.catalogue import get_architecture
from adapt.zoo.published import read_published
from tests.published_weights import RECORDED, digest, images, state_of

State = dict[str, Any]
NAME = "squeezenet1_1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


def state(name: str = NAME, classes: int = 5) -> State:
    return state_of(get_architecture(name).published_graph(classes).weight_shapes)


@pytest.mark.parametrize("name", RECORDED)
def test_a_state_dict_has_torchvisions_names_and_shapes(name: str) -> None:
    architecture = get_architecture(name)
    graph, _ = architecture.family.with_auxiliary(architecture.published_graph())
    assert digest(graph.weight_shapes) == RECORDED[name]["names"]


@pytest.mark.parametrize("name", [name for name, row in RECORDED.items() if "scores" in row])
def test_scores_are_torchvisions(name: str, path: Path) -> None:
    channels, height, width = RECORDED[name]["shape"]
    architecture = get_architecture(name)
    whole, _ = architecture.family.with_auxiliary(architecture.published_graph())
    save_file(state_of(whole.weight_shapes), path)
    at_this_size = architecture.published_graph(1000, (channels, height, width))
    module = build_module(Network(at_this_size, read_published(path, name).weights)).eval()
    with torch.no_grad():
        scores = module(torch.tensor(images((channels, height, width)))).numpy()
    assert np.allclose(scores[:, :5], RECORDED[name]["scores"], rtol=0, atol=1e-4 * max(1, scores.std()))


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "model._orig_mod.net."])
def test_what_wrappers_put_before_every_name_is_none_of_it(prefix: str, path: Path) -> None:
    plain = state()
    save_file({prefix + name: tensor for name, tensor in plain.items()}, path)
    weights = read_published(path, NAME).weights
    assert all(np.array_equal(weights[name], tensor) for name, tensor in plain.items())


def test_a_file_in_half_precision_is_read_counters_and_all(path: Path) -> None:
    plain = state("shufflenet_v2_0.50")
    save_file({name: tensor.astype(np.float16) for name, tensor in plain.items()}, path)
    weights = read_published(path, "shufflenet_v2_0.50").weights
    assert weights["conv1.0.weight"].dtype == np.float32
    assert np.allclose(weights["conv1.0.weight"], plain["conv1.0.weight"], rtol=1e-3)
    assert (weights["conv1.1.num_batches_tracked"].dtype, int(weights["conv1.1.num_batches_tracked"])) == (np.int64, 7)


def test_names_of_old_releases_are_read(path: Path) -> None:
    plain = state("densenet121")
    old = {f".{part}{number}.": f".{part}.{number}." for part in ("norm", "conv") for number in (1, 2)}

    def renamed(name: str) -> str:
        for new, before in old.items():
            name = name.replace(new, before) if "denselayer" in name else name
        return name

    save_file({renamed(name): tensor for name, tensor in plain.items() if "num_batches" not in name}, path)
    assert np.array_equal(
        read_published(path, "densenet121").weights["features.denseblock4.denselayer16.norm2.bias"],
        plain["features.denseblock4.denselayer16.norm2.bias"],
    )


def test_classes_and_input_channels_are_the_files(path: Path) -> None:
    save_file(state_of(get_architecture("resnet18").published_graph(3, (1, 224, 224)).weight_shapes), path)
    graph = read_published(path, "resnet18_64").graph
    assert (graph.input_shape, graph.weight_shapes["fc.bias"]) == ((1, 64, 64), (3,))


def test_published_weights_keep_their_strides_at_any_resolution(path: Path) -> None:
    """torchvision halves small images too; timm's seresnet50 has the stride in the second convolution."""
    architecture = get_architecture("mobilenet_v2_0.35_32")
    save_file(state("mobilenet_v2_0.35"), path)
    published = read_published(path, architecture.name).graph
    assert costs(published).macs < 0.5 * costs(architecture.graph(5)).macs
    strides = {
        node.name: node.attributes["stride"]
        for node in get_architecture("se_resnet50").published_graph().nodes
        if node.operator == "conv2d"
    }
    assert (strides["layer2_0_conv1"], strides["layer2_0_conv2"]) == ((1, 1), (2, 2))


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_a_classifier_of_linear_layers_is_the_same_at_any_resolution(name: str) -> None:
    """Whose map is averaged to what the published first one takes."""
    at_home = get_architecture(name).published_graph().weight_shapes
    for size in (96, 256):
        assert get_architecture(f"{name}_{size}").published_graph().weight_shapes == at_home


def _renamed(weights: State) -> State:
    return {f"model.{name.replace('classifier.1', 'classifier.1.0')}": value for name, value in weights.items()}


@pytest.mark.parametrize(
    ("changed", "asked", "told"),
    [
        (dict, "resnet18", ["conv1.weight: is missing", f"the file's tensors are those of {NAME}"]),
        (dict, "squeezenet1_0", ["features.5.squeeze.weight: is missing", f"those of {NAME}"]),
        (_renamed, NAME, ["classifier.1.weight: is missing", "the file has model.classifier.1.0.bias"]),
        (lambda weights: {**weights, "criterion.weight": np.ones(3, np.float32)}, NAME, ["criterion.weight: is no"]),
        (
            lambda weights: {f"{copy}.{name}": value for copy in ("model", "ema") for name, value in weights.items()},
            NAME,
            ["several times, under 'ema.', 'model.'"],
        ),
    ],
)
def test_weights_of_another_network_are_refused_with_what_they_fit(
    changed: Any, asked: str, told: list[str], path: Path
) -> None:
    save_file(changed(state()), path)
    with pytest.raises(NetworkRefused) as refused:
        read_published(path, asked)
    assert all(text in str(refused.value) for text in told), refused.value


def test_weights_without_a_name_are_refused_with_the_name_that_fits(path: Path, tmp_path: Path) -> None:
    save_file(state(), path)
    with pytest.raises(FormatRefused, match=f"those of {NAME}.*`architecture`"):
        read_in_child(path, tmp_path / "out.safetensors")
