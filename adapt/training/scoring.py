"""Pixels to tensors, batch-norm statistics, and what a network scores."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from adapt.data.arrays import Images, Labels, Rows
from adapt.data.dataset import Part
from adapt.data.split import batches, batches_per_epoch, in_order
from adapt.events import WORST_LOSS, Score
from adapt.spec import FEWEST_AT_ONCE, Normalization
from adapt.training.device import device_of, raw_batch
from adapt.training.out_of_memory import in_parts
from adapt.training.supervision import Pulse

EVALUATION_BATCH = 128
STATISTICS_BATCH_AT_LEAST = 64  # images: the variance of a small batch is too noisy to average

BatchNorm = nn.modules.batchnorm._BatchNorm


def to_tensors(images: Images, labels: Labels, normalization: Normalization) -> tuple[Tensor, Tensor]:
    """Images [n, H, W, C] uint8 to float32 [n, C, H, W] in channels_last, (pixel / 255 - mean) / std; and the labels.

    Done batch by batch: beside a training step it costs nothing, and a whole data set in float32 is four times as big.
    """
    return normalized(torch.from_numpy(images), normalization), torch.from_numpy(labels)


def batch_for(module: nn.Module, part: Part, positions: Rows, normalization: Normalization) -> tuple[Tensor, Tensor]:
    """What `to_tensors` makes of these positions, where the module is."""
    pixels, labels = raw_batch(part, positions, device_of(module))
    return normalized(pixels, normalization), labels


def normalized(pixels: Tensor, normalization: Normalization) -> Tensor:
    """[n, H, W, C] uint8 to [n, C, H, W] float32, where they lie."""
    floats = pixels.permute(0, 3, 1, 2).to(torch.float32)  # keeps NHWC: that is channels_last
    mean, std = torch.tensor(normalization.mean), torch.tensor(normalization.std)
    scale, shift = (values.view(1, -1, 1, 1).to(pixels.device) for values in (1 / (255 * std), -mean / std))
    return floats.mul_(scale).add_(shift)


def batch_norms(module: nn.Module) -> list[BatchNorm]:
    """Those that keep running statistics."""
    return [part for part in module.modules() if isinstance(part, BatchNorm) and part.track_running_stats]


@torch.no_grad()
def reestimate_batch_norm(
    module: nn.Module,
    train: Part,
    normalization: Normalization,
    *,
    most_batches: int,
    batch_size: int,
    seed: int,
    pulse: Pulse,
    parts: int = 1,
) -> None:
    """Replaces the running statistics by the plain average over a few batches that depend on `seed` alone; with
    `most_batches` 0 they stay what training left. `parts` are those that each batch is taken in for want of memory: as
    many images in all, fewer at once.

    After a cut or a few steps the old statistics are stale, and what a network scores with them says little of it. So
    it comes before every accuracy that a choice rests on. Dropout is off. Leaves `module` in eval mode.
    """
    module.eval()
    norms = batch_norms(module)
    if not norms or not most_batches:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # torch's sign for a cumulative average
    size = max(min(max(batch_size, STATISTICS_BATCH_AT_LEAST), len(train)) // parts, FEWEST_AT_ONCE)
    picked = batches(len(train), size, seed)
    for _ in range(min(most_batches * parts, batches_per_epoch(len(train), size))):
        pulse()
        images, _labels = batch_for(module, train, next(picked), normalization)
        module(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()


def evaluate(module: nn.Module, part: Part, normalization: Normalization, pulse: Pulse, parts: int = 1) -> Score:
    """Accuracy and mean cross-entropy over `part`, in eval mode; the figures are always finite.

    An image whose scores are not finite counts as wrong, with a loss of WORST_LOSS.
    """
    return judge(module, part, normalization, pulse, parts)[0]


@torch.no_grad()
def judge(
    module: nn.Module, part: Part, normalization: Normalization, pulse: Pulse, parts: int = 1
) -> tuple[Score, NDArray[np.bool_]]:
    """The same, and image by image [n] which are answered rightly. Images are taken in as many `parts` as memory asked
    for before, and fewer at once where it runs out. Raises OutOfMemory."""
    module.eval()
    right, loss = [], 0.0
    for positions in in_order(len(part), EVALUATION_BATCH):
        pulse()
        images, labels = batch_for(module, part, positions, normalization)
        scores, parts = in_parts(partial(_scores, module, images), batch=len(images), parts=parts)
        right.append((scores.argmax(1) == labels) & scores.isfinite().all(1))
        losses = F.cross_entropy(scores, labels, reduction="none").double()
        loss += float(losses.nan_to_num(nan=WORST_LOSS, posinf=WORST_LOSS).clamp(max=WORST_LOSS).sum())
    answers = torch.cat(right).cpu().numpy()
    return Score(accuracy=int(answers.sum()) / len(part), loss=loss / len(part), images=len(part)), answers


def _scores(module: nn.Module, images: Tensor, parts: int) -> Tensor:
    return torch.cat([module(some) for some in images.chunk(parts)])
