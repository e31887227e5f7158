"""Where a network trains: on the processor, or on a GPU, in mixed precision and with the images kept there."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from math import prod

import torch
from torch import Tensor, nn

from adapt.data.arrays import Rows
from adapt.data.dataset import Part
from adapt.errors import DeviceAbsent
from adapt.spec import DeviceName

RESIDENT_SHARE = 0.02
"""Of the GPU's free memory that a part's images may take in a process, of which there are several with two parts each;
a larger part is sent batch by batch."""
PIECE = 4096  # images that are sent at once


def training_device(name: DeviceName) -> torch.device:
    """Raises DeviceAbsent for a GPU that is not there."""
    if name == "cpu":
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS sums in another order each time
    if not torch.cuda.is_available():
        built = "is built without CUDA" if torch.version.cuda is None else "finds no GPU"
        raise DeviceAbsent(name, f"torch {torch.__version__} {built} on this machine")
    torch.cuda.init()  # type: ignore[no-untyped-call]
    return torch.device("cuda", torch.cuda.current_device())


def device_of(module: nn.Module) -> torch.device:
    """Where its weights lie; without any it is the processor."""
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))


def mixed_precision(device: torch.device) -> AbstractContextManager[None]:
    """On a GPU that can, activations in bfloat16 (whose range needs no scaling of the loss); weights stay float32."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def random_state(device: torch.device) -> Tensor:
    """Of the generator that dropout draws from there."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def restore_random_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def raw_batch(part: Part, positions: Rows, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pixels [n, H, W, C] uint8 and labels [n] of these positions, on `device`."""
    if device.type == "cuda" and (resident := _resident(part, device)) is not None:
        rows = torch.from_numpy(positions).to(device)
        return resident[0][rows], resident[1][rows]
    images, labels = part.take(positions)
    return torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)


@contextmanager
def released_after() -> Iterator[None]:
    """What lies on a GPU of a job's data is forgotten when the block ends."""
    try:
        yield
    finally:
        _resident.cache_clear()


@lru_cache(maxsize=4)  # training part, hold-out, test part
def _resident(part: Part, device: torch.device) -> tuple[Tensor, Tensor] | None:
    shape = (len(part), *part.images.shape[1:])
    free, _total = torch.cuda.mem_get_info(device)
    if prod(shape) > RESIDENT_SHARE * free:
        return None
    images = torch.empty(shape, dtype=torch.uint8, device=device)
    for first in range(0, len(part), PIECE):  # a pool that is mapped may be larger than memory
        rows = part.rows[first : first + PIECE]
        images[first : first + len(rows)] = torch.from_numpy(part.images[rows]).to(device)
    return images, torch.from_numpy(part.part_labels).to(device)
