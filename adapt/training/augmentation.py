"""Light augmentation: every image of a batch is shifted a little. No flip: a mirrored digit is another sign."""

import numpy as np

from adapt.data.arrays import Images

SHARE = 8
"""The padding on each side is one part in this many of the side, at least one pixel."""


def shifted(images: Images, seed: int) -> Images:
    """`images` [n, H, W, C] padded by an eighth on each side (the edge repeated) and cropped back at random places.

    What comes out depends on the images and `seed` alone. The edge is repeated, since zeros would draw a black frame
    around whatever lies on a light ground.
    """
    count, height, width, _channels = images.shape
    down, across = max(1, height // SHARE), max(1, width // SHARE)
    padded = np.pad(images, ((0, 0), (down, down), (across, across), (0, 0)), mode="edge")
    rng = np.random.default_rng(seed)
    tops = rng.integers(0, 2 * down + 1, count)
    lefts = rng.integers(0, 2 * across + 1, count)
    cropped = np.empty_like(images)
    for image, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        cropped[image] = padded[image, top : top + height, left : left + width]
    return cropped
