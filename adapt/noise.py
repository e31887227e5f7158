"""What a hold-out of so many images can tell apart."""

import math


def standard_error(accuracy: float, images: int) -> float:
    """Of an accuracy on so many images, from the binomial law; at least one image's worth (an accuracy of 1 has an
    error too)."""
    return max(math.sqrt(accuracy * (1 - accuracy) / images), 1 / images)


def images_to_tell_apart(accuracy: float, other: float) -> int:
    """The smallest hold-out whose standard error at `accuracy` is not above the distance to `other`, which is not 0."""
    distance = abs(accuracy - other)
    return math.ceil(max(accuracy * (1 - accuracy) / distance**2, 1 / distance) * (1 - 1e-9))
