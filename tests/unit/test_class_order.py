"""Classes of a data set and outputs of a network: matched by name where both have names."""

from dataclasses import replace

import numpy as np
import pytest

from adapt.data.class_order import class_order
from adapt.data.dataset import Dataset, whole_part
from adapt.data.fit import fit_to
from adapt.errors import DatasetRefused

RNG = np.random.default_rng(0)


def animals(classes: tuple[str, ...] = ("bird", "cat", "dog")) -> Dataset:
    pool = whole_part(RNG.integers(0, 256, (9, 6, 6, 3), np.uint8), np.array([0, 1, 2] * 2 + [-1] + [0, 2]))
    return Dataset(
        name="animals",
        origin="zip",
        train=pool.subset(np.arange(6)),
        test=pool.subset(np.array([7, 8])),
        holdout=pool.subset(np.array([3, 4])),
        classes=classes,
        splits={},
    )


def test_labels_follow_the_names_of_the_networks_outputs_in_every_part() -> None:
    fitted = fit_to(animals(), (3, 4, 4), 3, names=("Dog", "bird", "CAT"))
    assert fitted.classes == ("dog", "bird", "cat")
    assert fitted.train.part_labels.tolist() == [1, 2, 0, 1, 2, 0]
    assert fitted.test.part_labels.tolist() == [1, 0]
    assert fitted.holdout is not None
    assert fitted.holdout.part_labels.tolist() == [1, 2]
    assert fitted.holdout.images is fitted.train.images
    assert "order of the network's outputs: Dog, bird, CAT" in fitted.notes[0]


def test_names_in_the_networks_order_change_nothing_and_say_nothing() -> None:
    data = animals()
    assert fit_to(data, (3, 6, 6), 3, names=("bird", "cat", "dog")) is data


def test_names_that_have_nothing_in_common_are_taken_in_order_and_said_so() -> None:
    fitted = fit_to(animals(), (3, 6, 6), 3, names=("n01", "n02", "n03"))
    assert fitted.train.part_labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert "taken in order" in fitted.notes[0]


def test_a_class_that_is_no_output_among_others_that_are_is_refused_by_name() -> None:
    with pytest.raises(DatasetRefused, match="bird is a class of the data set and no output of the network"):
        class_order(("bird", "cat", "dog"), ("dog", "cat", "fish"))


def test_numbers_that_stand_for_names_are_the_outputs_own() -> None:
    numbered = replace(animals(("0", "1", "2")), origin="npz")
    assert fit_to(numbered, (3, 6, 6), 3, names=("2", "0", "1")) is numbered
    folders = fit_to(animals(("0", "1", "2")), (3, 6, 6), 3, names=("2", "0", "1"))
    assert folders.classes == ("2", "0", "1")


def test_two_classes_alike_but_for_case_are_left_in_order() -> None:
    assert class_order(("Cat", "cat"), ("cat", "Cat")) is None


def test_enlarged_digits_keep_the_order_that_they_were_put_into() -> None:
    from adapt.data.digits import digits

    names = tuple("1234567890")
    fitted = fit_to(digits(), (3, 12, 12), 10, names=names)
    plain = fit_to(digits(), (3, 12, 12), 10)
    assert (fitted.classes, fitted.image_shape) == (names, (12, 12, 3))
    assert ((plain.test.part_labels - 1) % 10 == fitted.test.part_labels).all()
    assert (fitted.test.take(np.arange(5))[0] == plain.test.take(np.arange(5))[0]).all()
    assert replace(plain, notes=()).counts["3"] == fitted.counts["3"]
