"""Images of another size and number of channels, made to fit a network; and the light augmentation."""

from pathlib import Path

import numpy as np
import pytest

from adapt.data.dataset import Dataset, whole_part
from adapt.data.fit import fit_to
from adapt.data.resizing import resized
from adapt.errors import DatasetRefused
from adapt.training.augmentation import shifted

RNG = np.random.default_rng(0)


def dataset(shape: tuple[int, int, int]) -> Dataset:
    images = RNG.integers(0, 256, (12, *shape), dtype=np.uint8)
    pool = whole_part(images, np.arange(12) % 3)
    train, test = pool.subset(np.arange(9)), pool.subset(np.arange(9, 12))
    return Dataset(name="mine", origin="npz", train=train, test=test, classes=("a", "b", "c"), splits={})


def test_a_wide_image_is_scaled_to_its_height_and_cropped_from_the_middle() -> None:
    image = np.zeros((1, 8, 24, 3), np.uint8)
    image[:, :, 6:18] = 200  # the middle third, which is all that stays, and what bilinear sees beside it
    assert (resized(image, (4, 4, 3)) == 200).all()


def test_scaling_down_averages_and_so_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), 32).reshape(1, 1, 64, 1).repeat(64, axis=1)
    found = resized(stripes, (8, 8, 1))[0, 2:-2, 2:-2]
    assert abs(int(found.min()) - 127) < 12
    assert abs(int(found.max()) - 127) < 12


@pytest.mark.parametrize(
    ("found", "takes", "says"),
    [
        ((6, 5, 1), (3, 6, 5), ["three equal channels"]),
        ((6, 5, 3), (1, 6, 5), ["turned to grey"]),
        ((10, 20, 3), (3, 5, 6), ["scaled"]),
        ((6, 5, 1), (3, 16, 16), ["scaled", "three equal channels"]),
        ((9, 9, 2), (2, 4, 4), ["scaled"]),
    ],
)
def test_a_data_set_is_fitted_and_says_how(
    found: tuple[int, int, int], takes: tuple[int, int, int], says: list[str]
) -> None:
    mine = dataset(found)
    fitted = fit_to(mine, takes, 3)
    assert fitted.image_shape == (takes[1], takes[2], takes[0])
    assert fitted.test.images is fitted.train.images
    assert fitted.counts == mine.counts
    assert len(fitted.notes) == len(says)
    assert all(word in note for word, note in zip(says, fitted.notes, strict=True))


def test_grey_becomes_three_equal_channels() -> None:
    found = resized(RNG.integers(0, 256, (2, 6, 5, 1), dtype=np.uint8), (6, 5, 3))
    assert (found[..., 0] == found[..., 1]).all()
    assert (found[..., 0] == found[..., 2]).all()


@pytest.mark.parametrize(("found", "takes"), [(2, 3), (4, 3), (4, 1), (3, 5)])
def test_other_channels_are_refused_with_both_figures(found: int, takes: int) -> None:
    with pytest.raises(DatasetRefused, match=f"have {found} channels, the network takes {takes}"):
        fit_to(dataset((6, 5, found)), (takes, 6, 5), 3)


def test_large_results_are_mapped_from_a_file_of_the_callers_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapt.data.resizing.IN_MEMORY_BYTES", 0)
    images = RNG.integers(0, 256, (5, 6, 5, 3), dtype=np.uint8)
    first, second = (resized(images, shape, tmp_path) for shape in ((4, 4, 3), (3, 3, 3)))
    assert isinstance(first, np.memmap)
    assert Path(str(first.filename)).parent == tmp_path
    assert (first == resized(images, (4, 4, 3))).all()
    assert (second == resized(images, (3, 3, 3))).all()


def test_augmentation_shifts_by_an_eighth_at_most_and_depends_on_its_seed_alone() -> None:
    images = np.zeros((50, 16, 16, 1), np.uint8)
    images[:, 8, 8] = 255
    moved = shifted(images, 7)
    where = np.argwhere(moved[..., 0] == 255)
    assert len(where) == 50
    assert np.abs(where[:, 1:] - 8).max() == 2
    assert len({tuple(place) for place in where[:, 1:]}) > 10
    assert (moved == shifted(images, 7)).all()
    assert (moved != shifted(images, 8)).any()
    assert images[:, 8, 8].all()
