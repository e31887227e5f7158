"""The algorithm without the service: `run` a search in this process, `load` what came out of one."""

import math
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from adapt.added_resources import added_meters
from adapt.assembly import assembled
from adapt.budget import NO_PEAK_BUDGET, Asked, Share, parse_budget, parse_limit
from adapt.checkpoint import read_network, write_safetensors
from adapt.data.calibration import CalibrationImages
from adapt.data.dataset import Dataset
from adapt.data.digits import NAME as DIGITS
from adapt.data.digits import digits
from adapt.data.opening import opened_arrays, opened_dataset
from adapt.errors import MOST_WHY, AdaptError, PluginAbsent
from adapt.events import Event, Finished, Measurement, OriginalEvaluated, Uniform
from adapt.executors.ray import Cluster
from adapt.formats.pt2 import read_pt2
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup
from adapt.groups import channel_groups
from adapt.latency.device import Device
from adapt.latency.local_device import LocalDevice
from adapt.latency.machine_lock import MachineLock, default_directory
from adapt.latency.meters import DeviceMeter
from adapt.latency.profile import take_profile
from adapt.latency.runtimes.choice import RuntimeChoice, usual_provider
from adapt.latency.staircase import measure_staircase
from adapt.latency.table import LookupTable
from adapt.loop import adapt_network
from adapt.modules import build_module
from adapt.plugins import names
from adapt.presets import effective_settings
from adapt.search import Meter, Progress
from adapt.spec import RESOURCES, Normalization, Resource, Settings, default_normalization
from adapt.stop import never

Data = Dataset | Path | str | Mapping[str, NDArray[Any]]
"""`digits`, a file, or arrays as in an .npz: {"x_train": [n, H, W, C] uint8, "y_train": [n] integers ...}."""


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What a search ended with. `original_accuracy` and `accuracy` are on the test set, 0-1, `holdout_accuracy` on the
    hold-out; `figures` are the measurements of the result with their intervals. `uniform` is what it is compared with,
    where `compare="uniform"` was asked for: the network, its width, steps, figures, and hold-out and test scores."""

    network: Network = field(repr=False)
    original_accuracy: float
    accuracy: float
    resources: Mapping[Resource, float]
    figures: Mapping[Resource, Measurement]
    iterations: int
    holdout_accuracy: float
    uniform: Uniform | None = field(repr=False)

    def module(self) -> nn.Module:
        """The network as a trainable module in eval mode, with the original's state_dict names."""
        return build_module(self.network).eval()

    def save(self, path: Path | str) -> None:
        """Writes one .safetensors file that carries the architecture; `load` reads it."""
        Path(path).write_bytes(write_safetensors(self.network))


def load(path: Path | str) -> nn.Module:
    """The network in a .pt2 or one of our .safetensors files as a module in eval mode; nothing in it is executed.

    Raises NetworkRefused.
    """
    return build_module(read_network(Path(path))).eval()


def run(
    model: nn.Module | Path | str,
    budget: Mapping[str, float | str],
    data: Data = DIGITS,
    *,
    input_shape: tuple[int, int, int] | None = None,
    normalization: Normalization | None = None,
    on_event: Callable[[Event], None] | None = None,
    resources: Mapping[Resource, Meter] | None = None,
    runtime: str | RuntimeChoice = "onnxruntime",
    ray_address: str = "",
    **settings: Any,
) -> Adapted:
    """Shrinks `model` until it meets `budget`, measured on this machine (by default onnxruntime, one thread, batch 1).

    `model` is a file, or a module, which is left as it is; its `input_shape` (C, H, W) is that of the images unless it
    is given. `budget` maps latency_ms, macs, params, memory_bytes, one of `resources`, or one that an installed package
    adds, to a number or "NN%" of the original's. `resources` are measured ones of the caller's own
    (docs/resources.md), by name; without a step of their own in `schedule` they take latency's.
    `data` is "digits", a file (.npz, zip, tar, .parquet), a Dataset, or arrays by the names that an .npz has.
    `runtime` is the name of one on its processor, or says more of it: provider, threads, batch, precision.
    `settings` are those of a job (`preset="quick"`, `short_term_steps=50` ...). `on_event` sees every event of the
    search as it happens. `ray_address` is the cluster's of `executor="ray"` (docs/scaling.md); "" starts one here.
    Raises AdaptError: what was wrong, where, what to do.
    """
    own = dict(resources or {})
    asked = _asked(budget, own)
    meters = own | added_meters(name for name in asked if name not in own)
    chosen = _with_steps(effective_settings(settings), meters)
    measuring = _choice(runtime)
    events = []
    with _opened(data) as dataset:
        network = _network(model, input_shape or _shape_of(dataset))
        pixels = normalization or default_normalization(network.graph.input_shape[0])
        cluster = Cluster(address=ray_address)
        for event in _searched(network, dataset, pixels, asked, chosen, meters, measuring, cluster):
            events.append(event)
            if on_event is not None:
                on_event(event)
    original = next(event for event in events if isinstance(event, OriginalEvaluated))
    finished = next(event for event in events if isinstance(event, Finished))
    return Adapted(
        network=finished.network,
        original_accuracy=original.test.accuracy,
        accuracy=finished.test.accuracy,
        resources=finished.resources,
        figures=finished.figures,
        iterations=finished.iteration,
        holdout_accuracy=finished.holdout.accuracy,
        uniform=finished.uniform,
    )


def _searched(
    network: Network,
    dataset: Dataset,
    pixels: Normalization,
    asked: Asked,
    settings: Settings,
    own: Mapping[Resource, Meter],
    measuring: RuntimeChoice,
    cluster: Cluster,
) -> Iterator[Event]:
    groups = channel_groups(network)
    with (
        closing(LocalDevice(measuring, MachineLock(default_directory()))) as device,
        assembled(
            network,
            groups,
            dataset,
            pixels,
            asked=asked,
            settings=settings,
            meters=lambda images: {
                "latency_ms": _meter(network, groups, settings, device, "latency_ms" in asked, images),
                **own,
            },
            lock_directory=default_directory(),
            stop=never,
            staircase=partial(measure_staircase, device),
            cluster=cluster,
        ) as job,
    ):
        yield from adapt_network(job, Progress())


def _asked(budget: Mapping[str, float | str], own: Collection[Resource]) -> Asked:
    """Raises AdaptError for a name that is no resource, or is one of ours already. What the caller brings goes before
    what an installed package adds under the same name."""
    if taken := sorted(set(own) & set(RESOURCES)):
        raise AdaptError(f"resources: {', '.join(taken)} is there already; give yours another name")
    there_are = tuple(dict.fromkeys((*RESOURCES, *own, *names("resource"))))
    if not budget:
        raise AdaptError(f"budget: names no resource; there are {', '.join(there_are)}")
    if "peak_memory_bytes" in budget:
        raise AdaptError(f"budget: {NO_PEAK_BUDGET}")
    if unknown := sorted(set(budget) - set(there_are)):
        raise AdaptError(f"budget: {', '.join(unknown)} is no resource; there are {', '.join(there_are)}")
    for name, value in budget.items():
        if not _is_limit(value):
            raise AdaptError(f"budget: {name}: {value!r} is neither a number above 0 nor a percentage such as '60%'")
    return parse_budget(budget, there_are)


def _is_limit(value: object) -> bool:
    try:
        limit = parse_limit(value)  # type: ignore[arg-type]  # a caller may give anything
    except (TypeError, ValueError):
        return False
    return 0 < (limit.fraction if isinstance(limit, Share) else limit) < math.inf


def _with_steps(settings: Settings, own: Collection[Resource]) -> Settings:
    """Raises AdaptError for a step of what is no resource."""
    there_are = dict.fromkeys((*RESOURCES, *own, *names("resource")))
    if unknown := sorted(map(str, set(settings.schedule) - set(there_are))):
        raise AdaptError(f"schedule: {', '.join(unknown)} is no resource; there are {', '.join(there_are)}")
    like_latency = dict.fromkeys(own, settings.schedule["latency_ms"])
    return replace(settings, schedule=like_latency | dict(settings.schedule))


def _choice(runtime: str | RuntimeChoice) -> RuntimeChoice:
    """Raises PluginAbsent for a name that is no runtime's."""
    if isinstance(runtime, str):
        runtime = RuntimeChoice(runtime=runtime, provider=usual_provider(runtime))
    if runtime.runtime not in (there := names("runtime")):
        raise PluginAbsent("runtime", runtime.runtime, there)
    return runtime


def _network(model: nn.Module | Path | str, input_shape: tuple[int, int, int]) -> Network:
    """A module is copied: it stays in the mode and on the device that it is in. Raises AdaptError, NetworkRefused."""
    if not isinstance(model, nn.Module):
        return read_network(Path(model))
    try:
        module = deepcopy(model).cpu().eval()
    except Exception as error:  # torch.nn.utils.weight_norm, and whatever the module's own code makes of a copy
        why = " ".join(str(error).split())[:MOST_WHY]
        raise AdaptError(f"the module cannot be copied: {type(error).__name__}: {why}") from error
    example = torch.zeros(2, *input_shape)
    try:
        program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except Exception as error:  # whatever the module's own code or torch's reading of it raises
        why = " ".join(str(error).split())[:MOST_WHY]
        raise AdaptError(
            f"torch.export cannot read the module with images of {list(input_shape)} (C, H, W; input_shape says "
            f"otherwise): {type(error).__name__}: {why}"
        ) from error
    with tempfile.TemporaryDirectory(prefix="netadapt-") as folder:
        path = Path(folder) / "network.pt2"
        torch.export.save(program, path)
        return read_pt2(path)


def _shape_of(dataset: Dataset) -> tuple[int, int, int]:
    height, width, channels = dataset.image_shape
    return channels, height, width


def _opened(data: Data) -> AbstractContextManager[Dataset]:
    if isinstance(data, Dataset):
        return nullcontext(data)
    if isinstance(data, Mapping):
        return opened_arrays(data)
    return nullcontext(digits()) if data == DIGITS else opened_dataset(Path(data))


def _meter(
    network: Network,
    groups: tuple[ChannelGroup, ...],
    settings: Settings,
    device: Device,
    latency: bool,
    images: CalibrationImages,
) -> DeviceMeter:
    def profiled() -> LookupTable:
        return take_profile(network, groups, device, seed=settings.seed).table

    return DeviceMeter(network, profiled if latency else None, device, {}, never, images)
