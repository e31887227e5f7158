"""What a hold-out of so many images can tell apart."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def standard_error(accuracy: float, images: int) -> float:
    """Of an accuracy on so many images, from the binomial law; at least one image's worth (an accuracy of 1 has an
    error too)."""
    return max(math.sqrt(accuracy * (1 - accuracy) / images), 1 / images)


def images_to_tell_apart(accuracy: float, other: float) -> int:
    """The smallest hold-out whose standard error at `accuracy` is below the distance to `other`, which is not 0."""
    distance = abs(accuracy - other)
    return math.floor(max(accuracy * (1 - accuracy) / distance**2, 1 / distance) * (1 + 1e-9)) + 1


@dataclass(frozen=True)
class Difference:
    """Between two networks on the same images: the mean of the differences image by image, and its standard error."""

    mean: float
    standard_error: float

    def exceeds(self, errors: float) -> bool:
        """Whether it is more than so many of its standard errors above zero."""
        return self.mean > errors * self.standard_error


def paired_difference(by_image: NDArray[np.float64]) -> Difference:
    """Of differences [n], one for each image. Pairing takes away what makes an image hard for both networks: two that
    score .90 and .88 on 400 images are not told apart by their own standard errors, but by the eight images that only
    one of them answers."""
    mean, images = float(by_image.mean()), len(by_image)
    return Difference(mean, float(by_image.std()) / math.sqrt(images))
