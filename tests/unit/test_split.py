"""Splits, batches, the built-in digits, and whether a data set fits a network."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapt.data.dataset import Dataset, whole_part
from adapt.data.digits import digits
from adapt.data.fit import fit_to
from adapt.data.split import batches, batches_per_epoch, in_order, split_holdout, split_stratified
from adapt.errors import DatasetRefused, NotEnoughData


@given(counts=st.lists(st.integers(2, 60), min_size=2, max_size=12), seed=st.integers(0, 1000))
def test_a_holdout_is_stratified_disjoint_and_has_every_class_on_both_sides(counts: list[int], seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train, holdout = split_holdout(labels, seed, 0.1)
    assert sorted([*train, *holdout]) == list(range(len(labels)))
    for label, count in enumerate(counts):
        taken = int((labels[holdout] == label).sum())
        assert 1 <= taken < count
        assert abs(taken - count / 4) <= 1


@pytest.mark.parametrize(
    ("images", "fraction", "size"), [(400, 0.1, 100), (400, 0.5, 200), (6000, 0.1, 1000), (20_000, 0.1, 2000)]
)
def test_a_holdout_is_the_larger_of_its_share_and_a_thousand_or_a_quarter(
    images: int, fraction: float, size: int
) -> None:
    labels = np.arange(images) % 10
    assert len(split_holdout(labels, 0, fraction)[1]) == size


def test_the_same_seed_gives_the_same_holdout_and_another_seed_another() -> None:
    labels = np.arange(400) % 10
    assert split_holdout(labels, 1, 0.1)[1].tolist() == split_holdout(labels, 1, 0.1)[1].tolist()
    assert split_holdout(labels, 1, 0.1)[1].tolist() != split_holdout(labels, 2, 0.1)[1].tolist()


def test_a_class_with_a_single_image_is_named() -> None:
    with pytest.raises(NotEnoughData, match="class 2"):
        split_holdout(np.array([0, 0, 1, 1, 2]), 0, 0.1)


def test_a_class_without_an_image_takes_no_part_in_a_split() -> None:
    rest, taken = split_stratified(np.array([0, 0, 2, 2, 2, 2]), 0, 2, "test")
    assert (len(rest), len(taken)) == (4, 2)


def test_batches_of_an_epoch_are_complete_and_show_no_image_twice() -> None:
    epoch = list(islice(batches(23, 5, 0), batches_per_epoch(23, 5)))
    assert [len(batch) for batch in epoch] == [5, 5, 5, 5]
    assert len(set(np.concatenate(epoch))) == 20
    assert [batch.tolist() for batch in islice(batches(23, 5, 0), 4)] == [batch.tolist() for batch in epoch]


def test_with_fewer_images_than_a_batch_holds_every_batch_is_all_of_them() -> None:
    assert [sorted(batch) for batch in islice(batches(3, 8, 0), 2)] == [[0, 1, 2], [0, 1, 2]]


def test_an_evaluation_sees_every_image_once() -> None:
    assert np.concatenate(list(in_order(11, 4))).tolist() == list(range(11))


def test_digits_are_the_real_images_with_a_fixed_test_fifth() -> None:
    found = digits()
    assert (len(found.train) + len(found.test), found.image_shape) == (1797, (8, 8, 1))
    assert len(found.test) == 359
    assert found.train.images.max() == 255
    assert found.test.rows.tolist() == digits((16, 16), 3).test.rows.tolist()


def test_digits_are_enlarged_to_what_the_network_takes() -> None:
    found = fit_to(digits(), (3, 20, 16), 10)
    assert found.image_shape == (20, 16, 3)
    image = found.train.images[0]
    assert (image[..., 0] == image[..., 2]).all()


def dataset(shape: tuple[int, int, int] = (6, 5, 3), classes: int = 4) -> Dataset:
    labels = np.arange(40) % classes
    part = whole_part(np.zeros((40, *shape), np.uint8), labels)
    return Dataset(name="mine", origin="npz", train=part, test=part, classes=tuple("0123456789"[:classes]), splits={})


def test_data_that_fit_are_handed_on_as_they_are() -> None:
    mine = dataset()
    assert fit_to(mine, (3, 6, 5), 4) is mine


@pytest.mark.parametrize(
    ("input_shape", "classes", "why"),
    [
        ((4, 6, 5), 4, "the images have 3 channels, the network takes 4"),
        ((3, 6, 5), 10, r"4 classes \(labels 0\.\.3\), the network 10 outputs"),
        ((3, 6, 5), 3, "4 classes, the network 3 outputs: row 3 of the training part is labelled 3"),
    ],
)
def test_data_that_do_not_fit_are_refused_with_both_figures(
    input_shape: tuple[int, int, int], classes: int, why: str
) -> None:
    with pytest.raises(DatasetRefused, match=why):
        fit_to(dataset(), input_shape, classes)


def test_digits_are_refused_for_another_number_of_classes() -> None:
    with pytest.raises(DatasetRefused, match="10 classes"):
        fit_to(digits(), (1, 8, 8), 1000)
