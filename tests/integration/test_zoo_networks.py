"""Zoo networks with their initial weights: the module and the ONNX that we write agree, whatever the seed gave."""

import numpy as np
import pytest

from adapt.agreement import largest_difference
from adapt.assembly import fitted_data
from adapt.data.digits import digits
from adapt.groups import channel_groups
from adapt.modules import build_module
from adapt.pruning_check import wrongly_pruned
from adapt.spec import Settings, default_normalization
from adapt.stop import never
from adapt.training.from_scratch import train_from_scratch
from adapt.zoo.catalogue import get_architecture
from adapt.zoo.initial import initial_network, initial_weights
from tests.zoo_instances import SMALL_INSTANCES, small_instance


@pytest.mark.parametrize(
    "family", [name for name in SMALL_INSTANCES if name not in {"vgg16", "alexnet", "se_resnet50"}]
)
def test_a_zoo_network_computes_the_same_in_torch_and_onnxruntime(family: str) -> None:
    assert largest_difference(initial_network(small_instance(family), seed=1)) < 1e-4


@pytest.mark.parametrize("family", ["mobilenet_v2", "shufflenet_v2", "squeezenet1_1"])
def test_squeeze_and_excitation_can_be_pruned_like_any_other_layer(family: str) -> None:
    network = initial_network(small_instance(f"se_{family}"), seed=1)
    assert largest_difference(network) < 1e-4
    groups = channel_groups(network)
    assert wrongly_pruned(network, groups) == frozenset()
    assert any(group.prunable and group.kind == "squeeze" for group in groups)


def test_initial_weights_depend_on_seed_and_name_alone() -> None:
    graph = small_instance("mobilenet_v2")
    first, again, other = (initial_weights(graph, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(first[name], again[name]) for name in graph.weight_shapes)
    assert not np.array_equal(first["features.0.0.weight"], other["features.0.0.weight"])
    assert {name: tensor.shape for name, tensor in first.items()} == dict(graph.weight_shapes)


def test_signals_neither_die_nor_explode_through_fresh_layers() -> None:
    weights = initial_weights(small_instance("vgg16"), seed=0)
    hidden = weights["features.2.weight"]
    assert np.isclose(hidden.std(), np.sqrt(2 / (64 * 9)), rtol=0.05)
    assert np.isclose(weights["classifier.6.weight"].std(), np.sqrt(1 / 4096), rtol=0.05)


def test_a_batch_norm_begins_as_the_identity() -> None:
    state = build_module(initial_network(small_instance("mobilenet_v1"), seed=0)).state_dict()
    roles = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
    assert {role: float(state[f"features.0.1.{role}"].unique()) for role in roles} == roles


def test_an_architecture_learns_from_nothing_in_a_few_epochs() -> None:
    network = initial_network(get_architecture("mobilenet_v3_small").graph(10, (1, 32, 32)), seed=0)
    settings = Settings(training_epochs=4, batch_size=64)
    with fitted_data(network, digits(), default_normalization(1), settings) as (_, data):
        epochs = list(train_from_scratch(network, data, settings, state=None, lock=None, stop=never))
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4]
    assert epochs[-1].holdout.accuracy > 0.5
