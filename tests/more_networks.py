"""More families, small, as people write them: idioms of published definitions in plain torch, random weights.

Widths and depths are cut until a test takes seconds; what ties channels together is all there.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.networks import SqueezeExcite, conv_bn, randomised

CLASSES = 6


def flat(x: Tensor) -> Tensor:
    return torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1)


class Branches(nn.Module):
    """Runs its branches on one input and concatenates what they answer."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class GoogLeNet(nn.Module):
    """Szegedy et al. 2015: two modules, ceil-mode pooling, local response norm, the input transformed by channel."""

    def __init__(self, transform_input: bool = False) -> None:
        super().__init__()
        self.transform_input = transform_input
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 7, 2, 3), nn.ReLU(True), nn.MaxPool2d(3, 2, ceil_mode=True))
        self.norm = nn.LocalResponseNorm(5)
        self.reduce = conv_bn(16, 16, 3)
        self.first, self.second = self.inception(16), self.inception(32)
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.fc = nn.Linear(32, CLASSES)

    @staticmethod
    def inception(channels: int) -> Branches:
        return Branches(
            conv_bn(channels, 8),
            nn.Sequential(conv_bn(channels, 6), conv_bn(6, 12, 3)),
            nn.Sequential(conv_bn(channels, 4), conv_bn(4, 6, 5)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), conv_bn(channels, 6)),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.transform_input:
            planes = [torch.unsqueeze(x[:, c], 1) * (0.5 + c / 9) + (c - 1) / 10 for c in range(3)]
            x = torch.cat(planes, 1)
        x = self.reduce(self.norm(self.stem(x)))
        x = self.second(self.pool(self.first(x)))
        return self.fc(F.dropout(flat(x), 0.2, training=self.training))


class InceptionV3(nn.Module):
    """Szegedy et al. 2016: factorised 1x7 and 7x1 convolutions, split 1x3 and 3x1 ends, average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 8, 3, stride=2), conv(8, 12, 3, padding=1), nn.MaxPool2d(3, 2))
        self.b1 = conv(12, 8, 1)
        self.b2 = nn.Sequential(conv(12, 6, 1), conv(6, 6, (1, 7), padding=(0, 3)), conv(6, 8, (7, 1), padding=(3, 0)))
        self.bp = conv(12, 4, 1)
        self.grid = Branches(conv(20, 10, 3, stride=2), nn.MaxPool2d(3, stride=2))
        self.e1 = conv(30, 8, 1)
        self.e2a, self.e2b = conv(8, 6, (1, 3), padding=(0, 1)), conv(8, 6, (3, 1), padding=(1, 0))
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        pooled = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)
        x = torch.cat([self.b1(x), self.b2(x), self.bp(pooled)], 1)
        y = self.e1(self.grid(x))
        y = torch.cat([self.e2a(y), self.e2b(y)], 1)
        return self.fc(F.avg_pool2d(y, y.shape[2:], count_include_pad=False).squeeze(3).squeeze(2))


def conv(inputs: int, outputs: int, kernel: int | tuple[int, int], **how: object) -> nn.Sequential:
    layers = (nn.Conv2d(inputs, outputs, kernel, bias=False, **how), nn.BatchNorm2d(outputs, eps=0.001), nn.ReLU(True))  # type: ignore[arg-type]
    return nn.Sequential(*layers)


class Fire(nn.Module):
    """Iandola et al. 2016, figure 1."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze, self.relu = nn.Conv2d(inputs, squeeze, 1), nn.ReLU(inplace=True)
        self.expand1x1, self.expand3x3 = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.squeeze(x))
        return torch.cat([self.relu(self.expand1x1(x)), self.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """The bypass of figure 2 included; the head is a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(True), nn.MaxPool2d(3, 2, ceil_mode=True))
        self.first, self.second = Fire(16, 6, 12), Fire(24, 6, 12)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(24, CLASSES, 1), nn.AdaptiveAvgPool2d((1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.stem(x))
        return torch.flatten(self.head(x + self.second(x)), 1)


class DenseLayer(nn.Module):
    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 2 * growth, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(2 * growth), nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.conv1(F.relu(self.norm1(torch.cat(features, 1))))
        return F.dropout(self.conv2(F.relu(self.norm2(x), inplace=True)), 0.1, self.training)


class DenseNet(nn.Module):
    """Huang et al. 2017: every layer reads all before it; a transition by average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.block1 = nn.ModuleList(DenseLayer(8 + 4 * n, 4) for n in range(3))
        self.norm1, self.transition = nn.BatchNorm2d(20), nn.Conv2d(20, 10, 1, bias=False)
        self.block2 = nn.ModuleList(DenseLayer(10 + 4 * n, 4) for n in range(2))
        self.norm2, self.classifier = nn.BatchNorm2d(18), nn.Linear(18, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dense(self.block1, self.stem(x))
        x = F.avg_pool2d(self.transition(F.relu(self.norm1(x))), kernel_size=2, stride=2)
        return self.classifier(flat(F.relu(self.norm2(self.dense(self.block2, x)), inplace=True)))

    @staticmethod
    def dense(layers: nn.ModuleList, x: Tensor) -> Tensor:
        features = [x]
        for layer in layers:
            features.append(layer(features))
        return torch.cat(features, 1)


class Bottleneck(nn.Module):
    """He et al. 2016, with groups (ResNeXt, RegNet) and squeeze-and-excite (SE-ResNet, RegNetY)."""

    def __init__(self, inputs: int, middle: int, outputs: int, stride: int, groups: int, squeeze: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(inputs, middle),
            conv_bn(middle, middle, 3, stride, groups),
            *([SqueezeExcite(middle, middle // 4)] if squeeze and groups > 1 else []),
            conv_bn(middle, outputs, activation=None),
            *([SqueezeExcite(outputs, outputs // 4)] if squeeze and groups == 1 else []),
        )
        same = stride == 1 and inputs == outputs
        self.downsample = nn.Identity() if same else conv_bn(inputs, outputs, stride=stride, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.downsample(x))


class Residual(nn.Module):
    def __init__(self, middle: int, outputs: int, groups: int = 1, squeeze: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, 12, 3, 2), nn.MaxPool2d(3, 2, 1))
        first = Bottleneck(12, middle, outputs, 1, groups, squeeze)
        second = Bottleneck(outputs, middle, outputs, 1, groups, squeeze)
        self.blocks = nn.Sequential(first, second, Bottleneck(outputs, 2 * middle, 24, 2, groups, squeeze))
        self.fc = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(x)).mean([2, 3]))


class MBConv(nn.Module):
    """Tan et al. 2019: MnasNet's block; with `squeeze` and SiLU that of EfficientNet, its stochastic depth included."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int, squeeze: bool) -> None:
        super().__init__()
        activation = nn.SiLU if squeeze else nn.ReLU
        hidden = inputs * expand
        self.shortcut = inputs == outputs and stride == 1
        self.body = nn.Sequential(
            *([conv_bn(inputs, hidden, activation=activation)] if expand > 1 else []),
            conv_bn(hidden, hidden, kernel, stride, hidden, activation),
            *([SqueezeExciteSilu(hidden, max(1, inputs // 4))] if squeeze else []),
            conv_bn(hidden, outputs, activation=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if not self.shortcut:
            return y
        if self.training:
            y = y * (torch.rand(len(y), 1, 1, 1) < 0.8) / 0.8
        return x + y


class SqueezeExciteSilu(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc2(F.silu(self.fc1(x.mean((2, 3), keepdim=True)), inplace=True))
        return gate.sigmoid() * x


class MobileChain(nn.Module):
    def __init__(self, squeeze: bool) -> None:
        super().__init__()
        rows = ((8, 8, 3, 1, 1), (8, 12, 3, 2, 6), (12, 12, 3, 1, 6), (12, 16, 5, 2, 3), (16, 16, 5, 1, 3))
        self.stem = conv_bn(3, 8, 3, 2, activation=nn.SiLU if squeeze else nn.ReLU)
        self.blocks = nn.Sequential(*(MBConv(*row, squeeze) for row in rows))
        self.top = conv_bn(16, 32, activation=nn.SiLU if squeeze else nn.ReLU)
        self.classifier = nn.Sequential(nn.Dropout(0.2, inplace=True), nn.Linear(32, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.top(self.blocks(self.stem(x))).mean([2, 3]))


class ShuffleUnit(nn.Module):
    """Ma et al. 2018, figures 3c and 3d."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.stride = stride
        self.left = nn.Sequential(dw_bn(inputs, stride), conv_bn(inputs, half)) if stride > 1 else nn.Identity()
        first = conv_bn(inputs if stride > 1 else half, half)
        self.right = nn.Sequential(first, dw_bn(half, stride), conv_bn(half, half))

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            kept, used = x.chunk(2, dim=1)
            out = torch.cat((kept, self.right(used)), dim=1)
        else:
            out = torch.cat((self.left(x), self.right(x)), dim=1)
        batch, channels, height, width = out.size()
        out = out.view(batch, 2, channels // 2, height, width)
        return torch.transpose(out, 1, 2).contiguous().view(batch, channels, height, width)


def dw_bn(channels: int, stride: int) -> nn.Sequential:
    return conv_bn(channels, channels, 3, stride, channels, None)


class ShuffleNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 8, 3, 2)
        units = ((8, 16, 2), (16, 16, 1), (16, 16, 1), (16, 24, 2), (24, 24, 1))
        self.stages = nn.Sequential(*(ShuffleUnit(*unit) for unit in units))
        self.top, self.fc = conv_bn(24, 32), nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.top(self.stages(self.stem(x))).mean([2, 3]))


class Plain(nn.Module):
    """VGG and AlexNet: linear layers over what adaptive pooling leaves, which need not divide."""

    def __init__(self, *, norm: bool, response: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 5, 2, 2), nn.ReLU(True)]
        layers += [nn.LocalResponseNorm(5, 1e-3, 0.75, 2.0)] if response else []
        layers += [nn.MaxPool2d(3, 2), nn.Conv2d(16, 24, 3, padding=1, groups=2 if response else 1)]
        layers += [nn.BatchNorm2d(24)] if norm else []
        self.features = nn.Sequential(*layers, nn.ReLU(True), nn.Conv2d(24, 12, 3, padding=1), nn.ReLU(True))
        self.avgpool = nn.AdaptiveAvgPool2d((3, 3))
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(108, 40), nn.ReLU(True), nn.Dropout(), nn.Linear(40, CLASSES)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(x.view(x.size(0), -1))


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """Liu et al. 2022, figure 4; `last` scales before the axes are turned back, as the paper's code does."""

    def __init__(self, channels: int, last: bool) -> None:
        super().__init__()
        self.dwconv, self.norm = nn.Conv2d(channels, channels, 7, padding=3, groups=channels), nn.LayerNorm(channels)
        self.pwconv1, self.pwconv2 = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.layer_scale = nn.Parameter(torch.full((channels,) if last else (channels, 1, 1), 0.3))
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        y = self.pwconv2(F.gelu(self.pwconv1(self.norm(self.dwconv(x).permute(0, 2, 3, 1)))))
        if self.last:
            return x + (self.layer_scale * y).permute(0, 3, 1, 2)
        return self.layer_scale * torch.permute(y, [0, 3, 1, 2]) + x


class ConvNeXt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 4, 4), LayerNorm2d(8, eps=1e-6))
        self.blocks = nn.Sequential(
            ConvNeXtBlock(8, False), LayerNorm2d(8), nn.Conv2d(8, 12, 2, 2), ConvNeXtBlock(12, True)
        )
        self.norm, self.head = nn.LayerNorm(12, eps=1e-6), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.stem(x)).mean([-2, -1])))


FAMILIES2: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "googlenet": (GoogLeNet, (3, 32, 32)),
    "googlenet-transformed": (lambda: GoogLeNet(transform_input=True), (3, 32, 24)),
    "inception-v3": (InceptionV3, (3, 43, 35)),
    "squeezenet": (SqueezeNet, (3, 33, 33)),
    "densenet": (DenseNet, (3, 24, 24)),
    "se-resnet": (lambda: Residual(12, 16, squeeze=True), (3, 32, 32)),
    "resnext": (lambda: Residual(16, 16, groups=8), (3, 32, 32)),
    "regnet-y": (lambda: Residual(16, 20, groups=2, squeeze=True), (3, 32, 24)),
    "efficientnet": (lambda: MobileChain(squeeze=True), (3, 32, 32)),
    "mnasnet": (lambda: MobileChain(squeeze=False), (3, 32, 32)),
    "shufflenet-v2": (ShuffleNetV2, (3, 32, 32)),
    "vgg": (lambda: Plain(norm=True, response=False), (3, 40, 32)),
    "alexnet": (lambda: Plain(norm=False, response=True), (3, 32, 40)),
    "convnext": (ConvNeXt, (3, 32, 32)),
}
"""Name -> (how it is built, the input's (C, H, W)); CLASSES classes."""


def family2(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    build, shape = FAMILIES2[name]
    return randomised(build, shape=shape), shape
