"""A network of your own, shrunk in this process: `python examples/shrink.py`. Takes a minute or less.

Trains a small network on handwritten digits, halves its mult-adds, and says what that cost.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import adapt
from adapt.data.digits import digits


def conv(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def trained(images: torch.Tensor, labels: torch.Tensor, epochs: int = 4) -> nn.Module:
    """[n, 1, 8, 8] images as they go into the network, and their classes."""
    torch.manual_seed(0)
    network = nn.Sequential(
        conv(1, 32, 1), conv(32, 48, 2), conv(48, 64, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
    return network


def main() -> None:
    train, test = digits().train, digits().test
    pixels, labels = train.take(np.arange(len(train)))  # [n, 8, 8, 1] uint8, [n] integers
    test_pixels, test_labels = test.take(np.arange(len(test)))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1  # as (pixel / 255 - 0.5) / 0.5

    network = trained(images, torch.from_numpy(labels))
    data = {"x_train": pixels, "y_train": labels, "x_test": test_pixels, "y_test": test_labels}
    small = adapt.run(network, {"macs": "50%"}, data, preset="quick", short_term_steps=5, long_term_epochs=2)
    small.save("small.safetensors")
    again = adapt.load("small.safetensors")

    print(f"accuracy {small.original_accuracy:.3f} -> {small.accuracy:.3f}, {small.iterations} iterations")
    print(f"latency  {small.figures['latency_ms'].value:.3f} ms, {small.resources['macs']:.0f} mult-adds")
    print(f"scores   {list(again(images[:1]).shape)}")


if __name__ == "__main__":
    main()
