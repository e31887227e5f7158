"""The demo's own network and images: plain torch, as a user would have them. Knows nothing of `adapt`.

A MobileNetV2 in small: a strided stem, seven inverted residual blocks in three stages, a wide last convolution.
The images are scikit-learn's 1,797 handwritten digits, enlarged from 8 x 8 to 64 x 64 pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 64  # pixels
CLASSES = 10
BATCH = 32  # on two cores an epoch takes half as long as with batches of 64: the activations stay in the cache
BLOCKS = (  # expansion factor, channels out, stride
    (3, 80, 2),
    (4, 136, 1),
    (4, 136, 1),
    (4, 136, 1),
    (4, 192, 2),
    (4, 192, 1),
)
STEM, HEAD = 32, 384


def conv_bn(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 projection; a shortcut where shapes allow. [N, inputs, H, W] in."""

    def __init__(self, inputs: int, outputs: int, *, factor: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * factor
        self.shortcut = stride == 1 and inputs == outputs
        self.expand = conv_bn(inputs, hidden, 1)
        self.depthwise = conv_bn(hidden, hidden, 3, stride=stride, groups=hidden)
        self.project = conv_bn(hidden, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.relu6(self.expand(x))
        y = F.relu6(self.depthwise(y))
        y = self.project(y)
        return x + y if self.shortcut else y


class DigitNetwork(nn.Module):
    """[N, 1, 64, 64] normalised pixels in, [N, 10] scores out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(1, STEM, 3, stride=2)
        channels = STEM
        blocks = []
        for factor, outputs, stride in BLOCKS:
            blocks.append(InvertedResidual(channels, outputs, factor=factor, stride=stride))
            channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = conv_bn(channels, HEAD, 1)
        self.classifier = nn.Linear(HEAD, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.stem(x))
        y = F.relu6(self.head(self.blocks(y)))
        scores: Tensor = self.classifier(y.mean((2, 3)))
        return scores


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Images NHWC uint8 [n, 64, 64, 1], labels int64 [n]."""

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]

    def save(self, path: Path) -> None:
        """An .npz as `POST /v1/datasets` takes it."""
        np.savez_compressed(path, x_train=self.x_train, y_train=self.y_train, x_test=self.x_test, y_test=self.y_test)


def enlarged_digits(seed: int = 0) -> Digits:
    """All 1,797 digits, a fifth of them for the test, the same share of every class in both."""
    digits = load_digits()
    small = torch.from_numpy(digits.images).unsqueeze(1).float() * (255 / 16)
    large = F.interpolate(small, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    images = large.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    labels = digits.target.astype(np.int64)
    parts = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=seed)
    x_train, x_test, y_train, y_test = (np.ascontiguousarray(part) for part in parts)
    return Digits(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def normalised(images: NDArray[np.uint8]) -> Tensor:
    """NHWC uint8 to [N, 1, H, W] float32 in -1..1: mean 0.5 and standard deviation 0.5, the service's default."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(127.5).sub(1.0).contiguous()


def train(digits: Digits, *, epochs: int, seed: int, report: Callable[[int, float], None]) -> DigitNetwork:
    """Plain supervised training: SGD with one cycle, batches of 32, images shifted by up to four pixels.

    `report` gets the epoch (from 1) and its mean loss.
    """
    torch.manual_seed(seed)
    network = DigitNetwork()
    images, labels = normalised(digits.x_train), torch.from_numpy(digits.y_train)
    steps = len(images) // BATCH
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=epochs * steps)
    for epoch in range(1, epochs + 1):
        network.train()
        total = 0.0
        for rows in torch.randperm(len(images))[: steps * BATCH].view(steps, BATCH):
            shift = tuple(int(n) for n in torch.randint(-4, 5, (2,)))
            batch = images[rows].roll(shift, dims=(2, 3)).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(network(batch), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        report(epoch, total / steps)
    network.eval()
    return network


@torch.no_grad()
def accuracy(network: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    scores = torch.cat([network(batch) for batch in torch.split(normalised(images), 128)])
    return float((scores.argmax(1).numpy() == labels).mean())


def export(network: nn.Module, path: Path) -> None:
    """The one line by which anybody hands over a network: `torch.export.save`, with a dynamic batch."""
    example = torch.zeros(2, 1, SIDE, SIDE)
    batch = torch.export.Dim("batch", min=1, max=4096)
    torch.export.save(torch.export.export(network.eval(), (example,), dynamic_shapes=({0: batch},)), path)
