"""Scikit-learn's digits made hard enough to tell networks apart: shifted, blotted and under noise; and a network that
reads most of them. Named as what they are: each image is one of the 1,797 real digits, rendered several times.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from adapt.data.dataset import Dataset, Part, whole_part
from adapt.data.digits import digits
from adapt.data.split import split_stratified
from adapt.spec import derive_seed

SIDE = 12  # pixels
RENDERED = 2  # times each digit
SHIFT = 1  # pixels to any side, at most
BLOT = 4  # pixels wide and high
NOISE = 60.0  # standard deviation, of 255
HOLDOUT_SHARE = 0.25
BATCH = 64
CHANNELS = (24, 32, 32, 48, 48, 48, 64, 64, 64, 64)
STRIDED = (2, 6)  # of these blocks


def noisy_digits(seed: int) -> Dataset:
    """A data set that declares its hold-out: no digit is in two parts, however often it is rendered."""
    plain = digits((SIDE, SIDE))
    train, holdout = split_stratified(
        plain.train.part_labels, seed, round(HOLDOUT_SHARE * len(plain.train)), "noisy hold-out"
    )
    chosen = {"train": plain.train.subset(train), "hold-out": plain.train.subset(holdout), "test": plain.test}
    parts = {name: _rendered(part, derive_seed(seed, name)) for name, part in chosen.items()}
    images = np.concatenate([pixels for pixels, _ in parts.values()])
    pool = whole_part(images, np.concatenate([labels for _, labels in parts.values()]))
    ends = np.cumsum([0, *(len(labels) for _, labels in parts.values())])
    rows = {name: np.arange(ends[at], ends[at + 1]) for at, name in enumerate(parts)}
    return Dataset(
        name=f"digits under noise, {SIDE} x {SIDE}",
        origin="rendered",
        train=pool.subset(rows["train"]),
        holdout=pool.subset(rows["hold-out"]),
        test=pool.subset(rows["test"]),
        classes=plain.classes,
        splits={name: len(found) for name, found in rows.items()},
    )


def _rendered(part: Part, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Each of the part RENDERED times: shifted, a square of it grey, noise over all."""
    draw = np.random.default_rng(seed)
    pixels, labels = part.take(np.tile(np.arange(len(part)), RENDERED))
    found = pixels[..., 0].astype(np.float64)
    for image in found:
        image[:] = np.roll(image, tuple(draw.integers(-SHIFT, SHIFT + 1, 2)), axis=(0, 1))
        top, left = draw.integers(0, SIDE - BLOT + 1, 2)
        image[top : top + BLOT, left : left + BLOT] = 128
    found += draw.normal(0, NOISE, found.shape)
    return np.rint(found).clip(0, 255).astype(np.uint8)[..., np.newaxis], labels


class SeparableNetwork(nn.Module):
    """MobileNetV1 in small, [N, 1, 12, 12] to [N, 10]: a stem and nine depthwise separable blocks, ten groups."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_bn(1, CHANNELS[0], 3)]
        for block, (inputs, outputs) in enumerate(pairwise(CHANNELS), 1):
            stride = 2 if block in STRIDED else 1
            layers += [_conv_bn(inputs, inputs, 3, stride=stride, groups=inputs), _conv_bn(inputs, outputs, 1)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(CHANNELS[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.layers(x).mean((2, 3)))
        return scores


def _conv_bn(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def trained(dataset: Dataset, *, epochs: int, seed: int) -> SeparableNetwork:
    """Plain supervised training on one thread: SGD with one cycle."""
    torch.manual_seed(seed)
    network = SeparableNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's own types
    pixels, classes = dataset.train.take(np.arange(len(dataset.train)))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1.0)
    labels = torch.from_numpy(classes)
    steps = len(images) // BATCH
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=epochs * steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(images))[: steps * BATCH].view(steps, BATCH):
            loss = F.cross_entropy(network(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    network.eval()
    return network
