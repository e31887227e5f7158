"""Networks that the tests are tried on, in plain torch, from the papers' tables; random but not trivial weights.

Layer names follow no library on purpose: nothing under test may rely on them.
"""

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from adapt.formats.pt2 import read_pt2
from adapt.graph.network import Network

INPUT_SHAPE = (3, 32, 32)
"""(C, H, W) that every network of FAMILIES takes."""


def scaled(channels: float, divisor: int = 8) -> int:
    """Rounded to the hardware's multiple, never down by more than 10 % (MobileNetV2's rule)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: Callable[[], nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(*layers, *([activation()] if activation is not None else []))


class MobileNetV1(nn.Module):
    """Howard et al. 2017, table 1. `stem_stride` 1 suits 32x32 images."""

    TABLE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))

    def __init__(
        self, width: float = 1.0, classes: int = 1000, in_channels: int = 3, stem_stride: int = 2, depth: int = 13
    ) -> None:
        super().__init__()
        channels = scaled(32 * width)
        layers = [conv_bn(in_channels, channels, 3, stem_stride)]
        for out_channels, stride in self.TABLE[:depth]:
            out = scaled(out_channels * width)
            layers += [conv_bn(channels, channels, 3, stride, groups=channels), conv_bn(channels, out)]
            channels = out
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(x)).flatten(1))


class InvertedResidual(nn.Module):
    """Sandler et al. 2018, figure 3."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.shortcut = stride == 1 and in_channels == out_channels
        layers = [] if expansion == 1 else [conv_bn(in_channels, hidden, activation=nn.ReLU6)]
        layers.append(conv_bn(hidden, hidden, 3, stride, hidden, nn.ReLU6))
        self.body = nn.Sequential(*layers, conv_bn(hidden, out_channels, activation=None))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


class MobileNetV2(nn.Module):
    """Sandler et al. 2018, table 2."""

    TABLE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(
        self, width: float = 1.0, classes: int = 1000, in_channels: int = 3, stem_stride: int = 2, last: int = 1280
    ) -> None:
        super().__init__()
        channels = scaled(32 * width)
        blocks: list[nn.Module] = [conv_bn(in_channels, channels, 3, stem_stride, activation=nn.ReLU6)]
        for expansion, out_channels, repeats, stride in self.TABLE:
            out = scaled(out_channels * width)
            for index in range(repeats):
                blocks.append(InvertedResidual(channels, out, stride if index == 0 else 1, expansion))
                channels = out
        blocks.append(conv_bn(channels, last, activation=nn.ReLU6))
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class SqueezeExcite(nn.Module):
    """Hu et al. 2018, with MobileNetV3's hard sigmoid."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.relu = nn.ReLU()
        self.excite = nn.Conv2d(hidden, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.excite(self.relu(self.squeeze(self.pool(x)))))


class MobileNetV3Block(nn.Module):
    """Howard et al. 2019, figure 4; the excitation comes before the non-linearity's output is projected."""

    def __init__(
        self, in_channels: int, kernel: int, hidden: int, out_channels: int, squeeze: bool, hard: bool, stride: int
    ) -> None:
        super().__init__()
        activation = nn.Hardswish if hard else nn.ReLU
        self.shortcut = stride == 1 and in_channels == out_channels
        layers: list[nn.Module] = []
        if hidden != in_channels:
            layers.append(conv_bn(in_channels, hidden, activation=activation))
        layers.append(conv_bn(hidden, hidden, kernel, stride, hidden, activation))
        if squeeze:
            layers.append(SqueezeExcite(hidden, scaled(hidden / 4)))
        layers.append(conv_bn(hidden, out_channels, activation=None))
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + x if self.shortcut else self.body(x)


# kernel, expansion size, output, squeeze-and-excite, h-swish, stride: Howard et al. 2019, tables 1 and 2
LARGE = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
SMALL = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)


class MobileNetV3(nn.Module):
    """Howard et al. 2019: `table` LARGE with `hidden` 1280, or SMALL with 1024. Redesigned last stage."""

    def __init__(
        self,
        table: Sequence[tuple[int, int, int, bool, bool, int]] = LARGE,
        hidden: int = 1280,
        width: float = 1.0,
        classes: int = 1000,
        in_channels: int = 3,
        stem_stride: int = 2,
    ) -> None:
        super().__init__()
        channels = scaled(16 * width)
        blocks: list[nn.Module] = [conv_bn(in_channels, channels, 3, stem_stride, activation=nn.Hardswish)]
        for kernel, expanded, out_channels, squeeze, hard, stride in table:
            out = scaled(out_channels * width)
            blocks.append(MobileNetV3Block(channels, kernel, scaled(expanded * width), out, squeeze, hard, stride))
            channels = out
        last = scaled(6 * channels)
        blocks.append(conv_bn(channels, last, activation=nn.Hardswish))
        self.features = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(last, hidden), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(hidden, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


class BasicBlock(nn.Module):
    """He et al. 2016, figure 5 left, with a projection where the shape changes (option B)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = conv_bn(in_channels, out_channels, 3, stride)
        self.second = conv_bn(out_channels, out_channels, 3, activation=None)
        same = stride == 1 and in_channels == out_channels
        self.projection = None if same else conv_bn(in_channels, out_channels, stride=stride, activation=None)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.projection is None else self.projection(x)
        out = self.second(self.first(x))
        out += shortcut
        return self.relu(out)


class ResNet18(nn.Module):
    """He et al. 2016, table 1; `small_images` has a 3x3 stem without stride and no max pooling."""

    def __init__(
        self, width: float = 1.0, classes: int = 1000, in_channels: int = 3, small_images: bool = False
    ) -> None:
        super().__init__()
        channels = scaled(64 * width)
        if small_images:
            self.stem = conv_bn(in_channels, channels, 3)
        else:
            self.stem = nn.Sequential(conv_bn(in_channels, channels, 7, 2), nn.MaxPool2d(3, 2, 1))
        blocks = []
        for stage, stage_channels in enumerate((64, 128, 256, 512)):
            out = scaled(stage_channels * width)
            blocks += [BasicBlock(channels, out, 1 if stage == 0 else 2), BasicBlock(out, out, 1)]
            channels = out
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


class PlainChain(nn.Module):
    """In the manner of VGG (Simonyan & Zisserman 2015): biases, no batch norm, and 4x4 positions flattened into a
    hidden linear layer."""

    def __init__(self, width: float = 1.0, classes: int = 1000, in_channels: int = 3, image: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for out_channels in (64, 128, 256):
            out = scaled(out_channels * width)
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            channels = out
        self.features = nn.Sequential(*layers)
        hidden = scaled(512 * width)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * (image // 8) ** 2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(hidden, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


def randomised(build: Callable[[], nn.Module], seed: int = 0, shape: tuple[int, int, int] = INPUT_SHAPE) -> nn.Module:
    """`build()` in eval mode with seeded weights and batch norms that are no identity, so that agreement means much.

    The batch norms have seen random images [16, *shape] and were then moved a little: scores are of the order of one,
    and differ from image to image.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        module = build()
        norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):  # torch's own start lets the signal fade within a few layers
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        for norm in norms:
            nn.init.uniform_(norm.weight, 0.6, 1.4)
            nn.init.uniform_(norm.bias, -0.3, 0.3)
            norm.momentum = None  # the plain average
        module.train()(torch.randn(16, *shape))
        for norm in norms:
            norm.momentum = 0.1
            norm.running_mean += norm.running_var.sqrt() * torch.empty_like(norm.running_mean).uniform_(-0.2, 0.2)
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.8, 1.25)
    return module.eval()


FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "mobilenet-v1": lambda: randomised(lambda: MobileNetV1(0.25, 10, stem_stride=1)),
    "mobilenet-v2": lambda: randomised(lambda: MobileNetV2(0.35, 10, stem_stride=1, last=160)),
    "mobilenet-v3-large": lambda: randomised(lambda: MobileNetV3(LARGE, 96, 0.35, 10, stem_stride=1)),
    "mobilenet-v3-small": lambda: randomised(lambda: MobileNetV3(SMALL, 64, 0.35, 10, stem_stride=1)),
    "resnet-18": lambda: randomised(lambda: ResNet18(0.25, 10)),
    "resnet-18-cifar": lambda: randomised(lambda: ResNet18(0.25, 10, small_images=True)),
    "plain-chain": lambda: randomised(lambda: PlainChain(0.25, 10)),
}
"""Small instances, quick on 32x32 images: INPUT_SHAPE in, 10 classes out."""


def export_pt2(module: nn.Module, shape: tuple[int, ...] = (1, *INPUT_SHAPE)) -> bytes:
    """What a user would upload: `module` in eval mode, exported with a dynamic batch. `shape` is (N, C, H, W)."""
    example = torch.zeros(max(2, shape[0]), *shape[1:])  # a batch of 1 would be taken for a constant
    dynamic = {0: torch.export.Dim("batch", min=1, max=1024)}
    program = torch.export.export(module.eval(), (example,), dynamic_shapes=(dynamic,))
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def uploaded(module: nn.Module, shape: tuple[int, int, int] = INPUT_SHAPE) -> Network:
    """`module` on the way that a user's network takes: exported, saved, and read as data. `shape` is (C, H, W)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "network.pt2")
        file.write_bytes(export_pt2(module, (1, *shape)))
        return read_pt2(file)
