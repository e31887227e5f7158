"""A small network that really classifies: trained on the digits in seconds, exported as a user would."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adapt.data.digits import digits
from tests.networks import export_pt2

SIDE = 16


class SmallNetwork(nn.Module):
    """[N, 1, 16, 16] to [N, 10]: a plain convolution, a depthwise separable one with a shortcut, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.expand = nn.Sequential(nn.Conv2d(24, 48, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU6())
        self.depthwise = nn.Sequential(
            nn.Conv2d(48, 48, 3, 1, 1, groups=48, bias=False), nn.BatchNorm2d(48), nn.ReLU6()
        )
        self.project = nn.Sequential(nn.Conv2d(48, 24, 1, bias=False), nn.BatchNorm2d(24))
        self.last = nn.Sequential(nn.Conv2d(24, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.project(self.depthwise(self.expand(x)))
        scores: Tensor = self.head(self.last(x).mean((2, 3)))
        return scores


@cache
def trained_pt2() -> bytes:
    """The .pt2 of a SmallNetwork that has learned the digits, normalised by the service's default for one channel."""
    part = digits((SIDE, SIDE), 1).train
    images, labels = part.take(torch.arange(len(part)).numpy())
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(127.5).sub(1.0)
    targets = torch.from_numpy(labels)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SmallNetwork()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        for _ in range(4):
            for rows in torch.randperm(len(pixels)).split(64):
                optimizer.zero_grad()
                F.cross_entropy(network(pixels[rows]), targets[rows]).backward()
                optimizer.step()
    return export_pt2(network, (2, 1, SIDE, SIDE))
