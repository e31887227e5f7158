"""A plain network whose .pt2 has 105 MB: `python -m benchmarks.wide_network FILE`.

A process of its own, so that the memory of torch does not count as that of whoever measures.
"""

import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(filters)
        self.second = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(filters)
        self.shortcut = nn.Conv2d(channels, filters, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(out)) + self.shortcut(x))


def residual_network(
    widths: tuple[int, ...] = (64, 136, 280, 560), depths: tuple[int, ...] = (3, 4, 6, 3)
) -> nn.Module:
    """ResNet-34's layout, a tenth wider: 25 million parameters."""
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = widths[0]
    for stage, (filters, depth) in enumerate(zip(widths, depths, strict=True)):
        for block in range(depth):
            layers.append(Residual(channels, filters, 2 if stage and not block else 1))
            channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)).eval()


def write_pt2(path: Path) -> None:
    batch = torch.export.Dim("batch")
    program = torch.export.export(residual_network(), (torch.zeros(2, 3, 224, 224),), dynamic_shapes=({0: batch},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path)


if __name__ == "__main__":
    write_pt2(Path(sys.argv[1]))
