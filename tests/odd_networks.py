"""Small networks whose channels are tied in unusual ways, for the tests of channel groups. Images are [N, 3, 8, 8]."""

import torch
from torch import Tensor, nn

ODD_SHAPE = (3, 8, 8)


class Odd(nn.Module):
    """A stem of 8 channels, a body of the subclass, and a head of 4 classes."""

    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(self.width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(torch.relu(self.stem(x))).mean([2, 3]))

    def body(self, x: Tensor) -> Tensor:
        return x


class SumWithImages(Odd):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.first(x))


class DepthwiseOnImages(Odd):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1, groups=3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.first(x))


class Grouped(Odd):
    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.after = nn.Conv2d(8, 12, 1)
        self.last = nn.Conv2d(12, 8, 1)

    def body(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.after(torch.relu(self.grouped(x)))))


class DepthwiseMultiplier(Odd):
    width = 16

    def __init__(self) -> None:
        super().__init__()
        self.multiplied = nn.Conv2d(8, 16, 3, padding=1, groups=8)

    def body(self, x: Tensor) -> Tensor:
        return self.multiplied(x)


class TwoChannelsPerGroup(Odd):
    """As many groups as filters, but no depthwise convolution: each filter reads two channels."""

    width = 4

    def __init__(self) -> None:
        super().__init__()
        self.paired = nn.Conv2d(8, 4, 3, padding=1, groups=4)

    def body(self, x: Tensor) -> Tensor:
        return self.paired(x)


class SpatialAttention(Odd):
    """A map of one channel scales all channels: an operand of another width."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.Conv2d(8, 1, 3, padding=1)
        self.last = nn.Conv2d(8, 8, 1)

    def body(self, x: Tensor) -> Tensor:
        return self.last(x * torch.sigmoid(self.attend(x)))


class LinearSqueeze(Odd):
    """Squeeze-and-excite by linear layers, and its hard sigmoid written out."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.Linear(8, 4)
        self.widen = nn.Linear(4, 8)
        self.last = nn.Conv2d(8, 8, 1)

    def body(self, x: Tensor) -> Tensor:
        gate = self.widen(torch.relu(self.narrow(x.mean([2, 3]))))
        gate = (nn.functional.relu6(gate + 3) / 6).unsqueeze(-1).unsqueeze(-1)
        return self.last(x * gate)


class GateOfOneLayer(Odd):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(8, 8, 1)

    def body(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.gate(nn.functional.adaptive_avg_pool2d(x, 1)))


class NormalisedFlatten(nn.Module):
    """Four positions of each channel pass a one-dimensional batch norm before the linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm1d(24)
        self.hidden = nn.Linear(24, 10)
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        flat = nn.functional.max_pool2d(torch.relu(self.conv(x)), 4).flatten(1)
        return self.head(torch.relu(self.hidden(self.norm(flat))))


class FlattenedSum(nn.Module):
    """A linear layer whose outputs are added to flattened images: a channel owns four of its rows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.around = nn.Linear(24, 24)
        self.head = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        flat = nn.functional.max_pool2d(torch.relu(self.conv(x)), 4).flatten(1)
        return self.head(flat + self.around(flat))


class ConvolutionHead(Odd):
    """No linear layer: the classes are the channels of the last convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.stem(x))).mean([2, 3])


class SumIntoHead(Odd):
    """Two layers make the classes together."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = torch.relu(self.stem(x)).mean([2, 3])
        return torch.softmax(self.head(features) + self.other(features), 1)


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(192, 16)
        self.second = nn.Linear(16, 12)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(torch.relu(self.first(x.flatten(1))))))


class HandWrittenSwish(Odd):
    """x * sigmoid(x) is no gate: both operands are of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Conv2d(8, 12, 3, padding=1)
        self.last = nn.Conv2d(12, 8, 1)

    def body(self, x: Tensor) -> Tensor:
        y = self.middle(x)
        return torch.relu(self.last(y * torch.tanh(y)))


class RecurrentSum(Odd):
    """One convolution on the residual path, whose rows and columns are the same channels."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Conv2d(8, 8, 3, padding=1)

    def body(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.turn(x))


class SameNames(Odd):
    """Two layers of one module path, called as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(0.1 * torch.ones(8, 8, 3, 3))
        self.second = nn.Parameter(0.1 * torch.ones(8, 8, 3, 3))

    def body(self, x: Tensor) -> Tensor:
        return torch.relu(nn.functional.conv2d(torch.relu(nn.functional.conv2d(x, self.first)), self.second))


class GroupedOverImages(Odd):
    """Groups over what is concatenated of several layers, one of which is the images."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 5, 3, padding=1)
        self.grouped = nn.Conv2d(8, 3, 1)
        self.over = nn.Conv2d(8, 8, 3, padding=1, groups=4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.over(torch.cat([x, self.first(x)], 1))
        return super().forward(self.grouped(y))


class SharedLayer(Odd):
    """The same convolution and batch norm, applied twice."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 8, 1)

    def body(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = torch.relu(self.norm(self.turn(x)))
        return self.last(x)


class LayerScale(Odd):
    def __init__(self) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Conv2d(8, 16, 1), nn.Conv2d(16, 8, 1)
        self.layer_scale = nn.Parameter(torch.full((8, 1, 1), 0.5))
        self.slope, self.slopes = nn.PReLU(), nn.PReLU(16)

    def body(self, x: Tensor) -> Tensor:
        return self.slope(x + self.layer_scale * self.narrow(self.slopes(self.widen(x))))


class ChannelsLast(Odd):
    """In the manner of ConvNeXt: a norm and two linear layers over the last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.widen, self.narrow = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.gamma = nn.Parameter(torch.full((8,), 0.5))

    def body(self, x: Tensor) -> Tensor:
        y = self.norm(x.permute(0, 2, 3, 1))
        y = self.gamma * self.narrow(nn.functional.gelu(self.widen(y)))
        return x + y.permute(0, 3, 1, 2)


class Halves(Odd):
    """Split, one half worked on, concatenated and shuffled: ShuffleNetV2."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.apart, self.widen = nn.Conv2d(4, 6, 1), nn.Conv2d(6, 6, 3, 1, 1, 1, 6), nn.Conv2d(6, 4, 1)

    def body(self, x: Tensor) -> Tensor:
        for _ in range(1):
            kept, used = x.chunk(2, 1)
            x = torch.cat([kept, self.widen(self.apart(torch.relu(self.narrow(used))))], 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return x


class Dense(Odd):
    """Concatenations of concatenations, normalised behind each."""

    width = 20

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 6, 1), nn.Conv2d(14, 6, 3, padding=1)
        self.norm, self.last_norm = nn.BatchNorm2d(14), nn.BatchNorm2d(20)

    def body(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.first(x)], 1)
        x = torch.cat([x, self.second(torch.relu(self.norm(x)))], 1)
        return torch.relu(self.last_norm(x))


class Subsampled(Odd):
    """A shortcut without weights: every second place, padded with channels of zeros."""

    width = 16

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(8, 16, 3, 2, 1)
        self.inner = nn.Conv2d(8, 8, 1)

    def body(self, x: Tensor) -> Tensor:
        x = torch.relu(self.inner(x)[:, :, 1:, 1:])
        shortcut = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
        return self.down(x) + shortcut


ODD = (
    GroupedOverImages,
    SharedLayer,
    LayerScale,
    ChannelsLast,
    Halves,
    Dense,
    Subsampled,
    SumWithImages,
    DepthwiseOnImages,
    Grouped,
    DepthwiseMultiplier,
    TwoChannelsPerGroup,
    SpatialAttention,
    LinearSqueeze,
    GateOfOneLayer,
    NormalisedFlatten,
    FlattenedSum,
    ConvolutionHead,
    SumIntoHead,
    Perceptron,
    HandWrittenSwish,
    RecurrentSum,
    SameNames,
)
