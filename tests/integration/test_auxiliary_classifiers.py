"""Auxiliary classifiers: they train along with a network from the zoo, and are no part of what comes out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from adapt.modules import build_module
from adapt.spec import Settings
from adapt.stop import never
from adapt.training.from_scratch import train_from_scratch
from adapt.training.long_term import finetuned
from adapt.training.losses import with_auxiliary
from adapt.zoo.architecture import Family
from adapt.zoo.builder import GraphBuilder
from adapt.zoo.catalogue import FAMILIES, get_architecture
from adapt.zoo.initial import initial_network
from tests.small_task import small_data

SETTINGS = Settings(training_epochs=2, batch_size=32, training_learning_rate=0.05)


def _network(builder: GraphBuilder, classes: int, width: float) -> str:
    value = builder.conv_bn_act(builder.images, "first.conv", "first.bn", 8, 3)
    value = builder.conv_bn_act(value, "second.conv", "second.bn", 8, 3, stride=2)
    return builder.linear(builder.global_pool(value), "fc", classes)


def _auxiliary(builder: GraphBuilder, classes: int) -> dict[str, float]:
    value = builder.batch_norm(builder.conv("first_bn_relu", "aux.conv", 4), "aux.bn")
    return {builder.linear(builder.global_pool(value, "aux.pool"), "aux.fc", classes): 0.3}


FAMILY = Family(name="small", paper="", build=_network, auxiliary=_auxiliary, head="fc", published={})
GRAPH = FAMILY.graph(width=1, classes=10, image_shape=(1, 8, 8), name="small")


def test_the_loss_is_the_networks_and_a_share_of_each_classifiers() -> None:
    graph, auxiliary = FAMILY.with_auxiliary(GRAPH)
    module = build_module(initial_network(graph, seed=0))
    images, labels = torch.rand(4, 1, 8, 8), torch.tensor([0, 3, 3, 9])
    with torch.no_grad():
        own, other = module.values(images, ["fc", "aux_fc"])
        expected = F.cross_entropy(own, labels) + 0.3 * F.cross_entropy(other, labels)
        assert float(with_auxiliary(module, auxiliary)(images, labels)) == pytest.approx(float(expected))
        module.eval()
        assert torch.equal(module(images), module.values(images, ["aux_fc", "fc"])[1])


def test_what_is_trained_with_them_has_none_and_an_interruption_changes_no_bit() -> None:
    graph, auxiliary = FAMILY.with_auxiliary(GRAPH)
    start, data = initial_network(graph, seed=0), small_data()
    first, last = train_from_scratch(start, data, SETTINGS, state=None, lock=None, stop=never, auxiliary=auxiliary)
    (again,) = train_from_scratch(start, data, SETTINGS, state=first.state, lock=None, stop=never, auxiliary=auxiliary)
    assert all(np.array_equal(again.state[name], tensor) for name, tensor in last.state.items())
    assert not np.array_equal(last.state["weights/aux.fc.weight"], start.weights["aux.fc.weight"])
    trained = finetuned(initial_network(GRAPH, seed=0), last.state)
    assert trained.weights.keys() == GRAPH.weight_shapes.keys()
    alone = list(train_from_scratch(start, data, SETTINGS, state=None, lock=None, stop=never))[-1]
    assert not np.array_equal(alone.state["weights/first.conv.weight"], last.state["weights/first.conv.weight"])


@pytest.mark.parametrize("name", ["googlenet", "googlenet_3x3", "inception_v3"])
def test_the_papers_classifiers_fit_every_image_that_the_network_fits(name: str) -> None:
    family = FAMILIES[name]
    for shape in ((3, 79, 83), (1, 128, 96), (3, 299, 299)):
        graph = get_architecture(name).graph(7, shape)
        whole, auxiliary = family.with_auxiliary(graph)
        assert whole.nodes[: len(graph.nodes)] == graph.nodes
        assert (whole.output, set(auxiliary.values())) == (graph.output, {0.3})
        assert len(auxiliary) == (1 if name == "inception_v3" else 2)


def test_a_family_without_them_trains_as_it_is() -> None:
    graph = get_architecture("resnet18").graph(7, (3, 32, 32))
    assert FAMILIES["resnet18"].with_auxiliary(graph) == (graph, {})


def test_the_middle_of_googlenet_learns_from_them() -> None:
    graph, auxiliary = FAMILIES["googlenet_3x3"].with_auxiliary(get_architecture("googlenet_3x3").graph(7, (1, 32, 32)))
    network = initial_network(graph, seed=0)
    silent = replace(network, weights={**network.weights, "fc.weight": np.zeros_like(network.weights["fc.weight"])})
    module = build_module(silent)  # no gradient comes back through the network's own scores
    with_auxiliary(module, auxiliary)(torch.rand(4, 1, 32, 32), torch.tensor([0, 1, 2, 3])).backward()
    moved = {name for name, parameter in module.named_parameters() if parameter.grad is not None}
    moved = {name for name in moved if module.get_parameter(name).grad.abs().max() > 0}  # type: ignore[union-attr]
    assert {"conv1.conv.weight", "inception4d.branch1.conv.weight", "aux2.fc2.weight"} <= moved
    assert "inception5a.branch1.conv.weight" not in moved
