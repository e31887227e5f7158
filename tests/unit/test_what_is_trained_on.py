"""The parts and the normalisation that a search is given, and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest

from adapt.assembly import fitted_data
from adapt.data.dataset import Dataset, whole_part
from adapt.data.report import of_images
from adapt.data.split import split_stratified
from adapt.spec import IMAGENET, Settings
from tests.small_task import small_network

NETWORK = small_network()[0]
CHANNELS, HEIGHT, WIDTH = NETWORK.graph.input_shape


def labelled(images: int = 100) -> Dataset:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 100, (images, HEIGHT, WIDTH, CHANNELS), dtype=np.uint8)
    labels = np.arange(images) % 10
    train, test = split_stratified(labels, 0, 20, "test")
    pool = whole_part(pixels, labels)
    return Dataset(
        name="x",
        origin="zip",
        train=pool.subset(train),
        test=pool.subset(test),
        classes=tuple("0123456789"),
        splits={},
    )


def test_a_declared_holdout_is_the_holdout_and_every_training_image_is_trained_on() -> None:
    data = labelled()
    held = data.train.subset(np.arange(10))
    declared = replace(data, train=data.train.subset(np.arange(10, 80)), holdout=held)
    with fitted_data(NETWORK, declared, IMAGENET, Settings()) as (_, trained):
        assert (len(trained.train), trained.holdout.rows.tolist()) == (70, held.rows.tolist())


def test_without_one_a_holdout_is_cut_from_the_training_images() -> None:
    with fitted_data(NETWORK, labelled(), IMAGENET, Settings()) as (fitted, trained):
        assert len(trained.train) + len(trained.holdout) == len(fitted.train) == 80


def test_normalisation_is_the_models_or_that_of_the_training_images() -> None:
    data = labelled()
    with fitted_data(NETWORK, data, IMAGENET, Settings()) as (_, trained):
        assert trained.normalization == IMAGENET
    with fitted_data(NETWORK, data, IMAGENET, Settings(normalization="data")) as (_, trained):
        pixels = data.train.take(np.arange(80))[0] / 255
        assert trained.normalization.mean == pytest.approx(pixels.mean((0, 1, 2)), abs=1e-5)
        assert trained.normalization.std == pytest.approx(pixels.std((0, 1, 2)), abs=1e-5)


def test_a_channel_of_one_value_is_not_stretched_to_infinity() -> None:
    flat = whole_part(np.full((4, 5, 5, 1), 51, np.uint8), np.array([0, 0, 1, 1]))
    assert of_images(flat).std == (1.0,)
