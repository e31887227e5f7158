"""Torch-Pruning as its users run it: one global threshold over all layers, in many small steps."""

from collections.abc import Callable, Iterator, Mapping

import torch
import torch_pruning
from torch import Tensor, nn

from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup, pruned_graph
from adapt.modules import GraphModule, read_weights
from adapt.training.losses import cross_entropy
from adapt.training.sgd import trainable_module

Batches = Callable[[], Iterator[tuple[Tensor, Tensor]]]

IMPORTANCES: Mapping[str, Callable[[], torch_pruning.importance.Importance]] = {
    "tp-l2": lambda: torch_pruning.importance.MagnitudeImportance(p=2),
    "tp-taylor": torch_pruning.importance.TaylorImportance,
    "tp-random": torch_pruning.importance.RandomImportance,
}
STEPS = 60
LARGEST_RATIO = 0.95  # of all channels
ROUND_TO = 8


def smaller_and_smaller(
    name: str, network: Network, groups: tuple[ChannelGroup, ...], batches: Batches, seed: int
) -> Iterator[Network]:
    """`network` after each of Torch-Pruning's steps that changed it, gradients taken anew before each one."""
    module = trainable_module(network).eval()
    pruner = torch_pruning.pruner.MetaPruner(
        module,
        torch.zeros(2, *network.graph.input_shape),
        importance=IMPORTANCES[name](),
        global_pruning=True,
        pruning_ratio=LARGEST_RATIO,
        iterative_steps=STEPS,
        ignored_layers=_classifiers(module),  # or classes are pruned
        round_to=ROUND_TO,
        in_channel_groups={},  # its own defaults are shared between pruners, and grow
        out_channel_groups={},
        num_heads={},
    )
    last = _counts(module, groups)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(STEPS):
            _take_gradients(module, batches)
            pruner.step()
            counts = _counts(module, groups)
            if counts != last:
                last = counts
                yield Network(pruned_graph(network.graph, groups, counts), read_weights(module))


def _take_gradients(module: GraphModule, batches: Batches) -> None:
    """Of the loss over a few batches; pruning replaces parameters, so they want their gradients again."""
    for parameter in module.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    loss = cross_entropy(module)
    for images, labels in batches():
        loss(images, labels).backward()  # type: ignore[no-untyped-call]


def _classifiers(module: GraphModule) -> list[nn.Module]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def _counts(module: GraphModule, groups: tuple[ChannelGroup, ...]) -> dict[str, int]:
    """Filters left, by group."""
    state = module.state_dict()
    return {group.id: len(state[f"{group.layers[0]}.weight"]) // group.filters_each for group in groups}
