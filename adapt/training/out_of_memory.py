"""A training that runs out of memory is tried again in smaller parts, their gradients added up."""

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from adapt.errors import OutOfMemory
from adapt.spec import FEWEST_AT_ONCE

_SIGNS = ("allocate memory", "not enough memory", "out of memory", "bad_alloc", "alloc_failed")
"""In what torch says on the processor, and cuBLAS and cuDNN on a GPU, where they raise plain RuntimeErrors."""
T = TypeVar("T")


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def in_parts(train: Callable[[int], T], *, batch: int, parts: int = 1) -> tuple[T, int]:
    """What `train` answers, given in how many parts to take each batch of `batch` images, and that number: `parts`, or
    twice as many again and again while memory runs out. Raises OutOfMemory when not even FEWEST_AT_ONCE fit."""
    while True:
        try:
            return train(parts), parts
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            why = str(error).partition("\n")[0] or type(error).__name__
        if batch // (2 * parts) < FEWEST_AT_ONCE:
            raise OutOfMemory(batch // parts, why)
        parts *= 2
        gc.collect()
        torch.cuda.empty_cache()  # does nothing where no GPU is in use
