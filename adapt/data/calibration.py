"""Images that the ranges of a quantised network's activations are taken from. Needs no torch."""

import numpy as np
from numpy.typing import NDArray

from adapt.data.dataset import TrainingData
from adapt.spec import derive_seed

CalibrationImages = NDArray[np.float32]
CALIBRATION_IMAGES = 64


def calibration_images(data: TrainingData, seed: int) -> CalibrationImages:
    """Some of the training images, as the network takes them: [n, C, H, W], (pixel / 255 - mean) / std.

    Which ones follows from the seed; never from the hold-out or the test part.
    """
    chance = np.random.default_rng(derive_seed(seed, "calibration"))
    rows = np.sort(chance.permutation(len(data.train))[:CALIBRATION_IMAGES])
    images, _ = data.train.take(rows)
    mean, std = (np.array(part, dtype=np.float32) for part in (data.normalization.mean, data.normalization.std))
    pixels = (images.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)
