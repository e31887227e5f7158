"""The built-in data set: scikit-learn's 1,797 handwritten digits, real 8 x 8 grey images. Needs no torch."""

import numpy as np
from PIL import Image

from adapt.data.arrays import Images
from adapt.data.dataset import Dataset, whole_part
from adapt.data.split import split_stratified

NAME = "digits"
SPLIT_SEED = 0  # of the test split: the same for ever, so that two jobs report on the same images
TEST_SHARE = 0.2


def digits(size: tuple[int, int] = (8, 8), channels: int = 1) -> Dataset:
    """The digits, enlarged to `size` (height, width; bilinear) with the grey value in every channel.

    Fixed stratified test split of a fifth. Source: scikit-learn's `load_digits` (test part of the UCI set "Optical
    Recognition of Handwritten Digits"), 0-16 per pixel, here stretched to 0-255.
    """
    from sklearn.datasets import load_digits  # here: importing scikit-learn takes a second that most callers don't need

    found = load_digits()
    grey = np.rint(found.images * (255 / 16)).astype(np.uint8)
    labels = found.target.astype(np.int64)
    train, test = split_stratified(labels, SPLIT_SEED, round(TEST_SHARE * len(labels)), "test")
    pool = whole_part(_enlarged(grey, size, channels), labels)
    return Dataset(
        name=NAME,
        origin=NAME,
        train=pool.subset(train),
        test=pool.subset(test),
        classes=tuple(str(digit) for digit in range(10)),
        splits={"train": len(train), "test": len(test), "test_from": "a stratified 20 % of the images, fixed"},
    )


def _enlarged(grey: Images, size: tuple[int, int], channels: int) -> Images:
    """[n, 8, 8] to [n, height, width, channels]."""
    height, width = size
    if size != grey.shape[1:]:
        enlarge = Image.Resampling.BILINEAR
        grey = np.stack([np.asarray(Image.fromarray(image).resize((width, height), enlarge)) for image in grey])
    return np.repeat(grey[..., np.newaxis], channels, axis=3)
