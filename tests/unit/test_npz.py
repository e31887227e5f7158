"""`load_npz` on good files and on everything that people, and attackers, send instead."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapt.data.npz import load_npz
from adapt.errors import DatasetRefused

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 6, 5, 3)).astype(np.uint8)
LABELS = np.arange(40) % 4


def savez(path: Path, **arrays: Any) -> Path:
    np.savez(path / "data.npz", **arrays)
    return path / "data.npz"


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path / "data.npz", "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return path / "data.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saved_is_read_back(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "a.npz", x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:8], y_test=LABELS[:8])
    found = load_npz(tmp_path / "a.npz")
    assert np.array_equal(found.train.images, IMAGES)
    assert found.train.part_labels.tolist() == LABELS.tolist()
    assert len(found.test) == 8
    assert found.classes == ("0", "1", "2", "3")
    assert found.image_shape == (6, 5, 3)
    assert found.counts["3"] == {"train": 10, "test": 2}
    assert found.splits == {"train": 40, "test": 8, "test_from": "x_test"}


def test_without_a_test_part_a_stratified_fifth_is_held_back_always_the_same(tmp_path: Path) -> None:
    path = savez(tmp_path, x_train=IMAGES, y_train=LABELS)
    first, second = load_npz(path), load_npz(path)
    assert first.test.rows.tolist() == second.test.rows.tolist()
    assert np.bincount(first.test.part_labels).tolist() == [2, 2, 2, 2]
    assert not set(first.test.rows) & set(first.train.rows)
    assert "20 %" in str(first.splits["test_from"])


def test_a_large_array_is_unpacked_and_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapt.data.npz_archive.MAPPED_FROM_BYTES", 100)
    path = savez(tmp_path, x_train=IMAGES, y_train=LABELS)
    found = load_npz(path, extract_to=tmp_path)
    assert isinstance(found.train.images, np.memmap)
    assert np.array_equal(found.train.take(np.array([3, 1]))[0], IMAGES[found.train.rows[[3, 1]]])


def test_arrays_of_another_order_width_or_byte_order_mean_the_same(tmp_path: Path) -> None:
    path = savez(tmp_path, x_train=np.asfortranarray(IMAGES), y_train=LABELS.astype(">i2").reshape(-1, 1))
    found = load_npz(path)
    assert np.array_equal(found.train.images, IMAGES)
    assert found.train.labels.tolist() == LABELS.tolist()


def test_grey_images_without_a_channel_axis_get_one(tmp_path: Path) -> None:
    path = savez(tmp_path, x_train=IMAGES[..., 0], y_train=LABELS)
    assert load_npz(path).image_shape == (6, 5, 1)


def test_other_entries_are_ignored_and_a_class_without_images_is_said(tmp_path: Path) -> None:
    path = savez(tmp_path, x_train=IMAGES, y_train=np.where(LABELS == 1, 0, LABELS), extra=IMAGES)
    assert load_npz(path).notes == (
        "ignored: the entry extra",
        "no training image of the class 1",
        "no test image of the class 1",
    )


@pytest.mark.parametrize("mapped_from", [100, 1 << 30])
def test_a_declared_holdout_lies_in_one_pool_with_the_training_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped_from: int
) -> None:
    monkeypatch.setattr("adapt.data.npz_archive.MAPPED_FROM_BYTES", mapped_from)
    given = {"x_val": IMAGES[:12] // 2, "y_val": LABELS[:12], "x_test": IMAGES[:8], "y_test": LABELS[:8]}
    found = load_npz(savez(tmp_path, x_train=IMAGES, y_train=LABELS, **given), extract_to=tmp_path)
    assert found.holdout is not None
    assert found.holdout.images is found.train.images
    assert isinstance(found.train.images, np.memmap) == (mapped_from == 100)
    assert np.array_equal(found.train.take(np.arange(40))[0], IMAGES)
    assert np.array_equal(found.holdout.take(np.arange(12))[0], IMAGES[:12] // 2)
    assert found.counts["0"] == {"train": 10, "test": 2, "holdout": 3}
    assert (found.splits["holdout"], found.splits["holdout_from"]) == (12, "x_val")


def test_without_a_test_part_the_declared_holdout_is_it(tmp_path: Path) -> None:
    found = load_npz(savez(tmp_path, x_train=IMAGES, y_train=LABELS, x_val=IMAGES[:8], y_val=LABELS[:8]))
    assert (found.holdout, len(found.train), found.splits["test_from"]) == (None, 40, "x_val")


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"x_train": IMAGES}, "y_train: is missing; the file has x_train"),
    "half a test part": ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES}, "y_test: is missing"),
    "float images": ({"x_train": IMAGES / 255, "y_train": LABELS}, "x_train: is float64, images must be uint8"),
    "float labels": ({"x_train": IMAGES, "y_train": LABELS * 1.0}, "y_train: is float64, labels must be integers"),
    "true and false": ({"x_train": IMAGES, "y_train": LABELS > 1}, "y_train: is bool"),
    "text labels": ({"x_train": IMAGES, "y_train": LABELS.astype(str)}, "y_train: is str"),
    "a negative label": ({"x_train": IMAGES, "y_train": LABELS - 1}, r"y_train\[0\]: is -1: negative"),
    "an absurd label": ({"x_train": IMAGES, "y_train": LABELS.astype(np.uint64) << 60}, r"y_train\[1\]: is 1152921504"),
    "one-hot labels": ({"x_train": IMAGES, "y_train": np.eye(4, dtype=int)[LABELS]}, "not one-hot"),
    "a scalar": ({"x_train": IMAGES, "y_train": np.int64(3)}, r"y_train: has the shape \[\]"),
    "a class of one image": (
        {"x_train": IMAGES, "y_train": np.append(LABELS[:-1], 4), "x_test": IMAGES, "y_test": LABELS},
        "class 4: has 1 training image, two training images are the least",
    ),
    "a class too small to split": (
        {"x_train": IMAGES, "y_train": np.append(LABELS[:-2], [4, 4])},
        "class 4: has 2 training images, three are the least",
    ),
    "half a hold-out": ({"x_train": IMAGES, "y_train": LABELS, "y_val": LABELS}, "x_val: is missing"),
    "whole-number images": ({"x_train": IMAGES.astype(int), "y_train": LABELS}, r"save x\.astype\('uint8'\)"),
    "lengths that differ": ({"x_train": IMAGES, "y_train": LABELS[:-1]}, "y_train: has 39 labels, x_train has 40"),
    "nothing": ({"x_train": IMAGES[:0], "y_train": LABELS[:0]}, "x_train: is empty"),
    "images of no pixels": ({"x_train": IMAGES[:, :0], "y_train": LABELS}, "of no pixels"),
    "one class": ({"x_train": IMAGES, "y_train": LABELS * 0}, "one class only"),
    "channels first": ({"x_train": IMAGES.transpose(0, 3, 1, 2), "y_train": LABELS}, "channels first"),
    "flat images": ({"x_train": IMAGES.reshape(40, -1), "y_train": LABELS}, r"shape \[40, 90\]"),
    "grey or flat": ({"x_train": IMAGES[:, 0], "y_train": LABELS}, "a flat array or grey images"),
    "a test label beyond": (
        {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS + 1},
        r"y_test\[3\]: is 4, but the labels of y_train end at 3",
    ),
    "test images of another size": (
        {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, :3], "y_test": LABELS},
        r"x_test: has images of \[3, 5, 3\]",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_data_that_cannot_be_trained_on_are_refused_by_name(tmp_path: Path, case: str) -> None:
    arrays, why = REFUSALS[case]
    with pytest.raises(DatasetRefused, match=why):
        load_npz(savez(tmp_path, **arrays))


class Bomb:
    """Says so when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("was unpickled",))


@pytest.mark.parametrize("name", ["x_train", "y_train", "anything"])
def test_objects_are_refused_by_name_and_never_unpickled(tmp_path: Path, name: str) -> None:
    arrays: dict[str, Any] = {"x_train": IMAGES, "y_train": LABELS, name: np.array([Bomb()], dtype=object)}
    with pytest.raises(DatasetRefused, match=f"{name}: holds Python objects"):
        load_npz(savez(tmp_path, **arrays))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "data.npz", x_train=np.zeros((2000, 100, 100, 1), np.uint8), y_train=LABELS)
    with pytest.raises(DatasetRefused, match="unpacks to 20000"):
        load_npz(tmp_path / "data.npz", max_bytes=10_000_000)


HEADERS = [
    "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999, 1, 1, 1)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-40, 6, 5, -3)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (True, 6, 5, 3)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': 40}",
    "{'descr': '|u1', 'fortran_order': False}",
    "{'descr': [('a', 'O')], 'fortran_order': False, 'shape': (40,)}",
    "{'descr': ('|u1', (40, 6, 5, 3)), 'fortran_order': False, 'shape': (1,)}",
    "{'descr': 'nonsense', 'fortran_order': False, 'shape': (40,)}",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (40,)}",
    "__import__('os').abort()",
    "(" * 5000,
    "9**9**9**9",
    "\x00",
    "'" + "a" * 20_000 + "'",
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("version", [1, 2, 3, 9])
def test_a_header_that_lies_is_refused(tmp_path: Path, header: str, version: int) -> None:
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    content = b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + IMAGES.tobytes()
    with pytest.raises(DatasetRefused, match="x_train"):
        load_npz(zipped(tmp_path, x_train=content, y_train=npy(LABELS)))


def test_an_entry_longer_or_shorter_than_its_header_says_is_refused(tmp_path: Path) -> None:
    for content in (npy(IMAGES) + b"\0", npy(IMAGES)[:-1], b"", b"\x93NUMPY"):
        with pytest.raises(DatasetRefused, match="x_train"):
            load_npz(zipped(tmp_path, x_train=content, y_train=npy(LABELS)))


def test_archives_that_numpy_did_not_write_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"not a zip")
    with pytest.raises(DatasetRefused, match=r"not an \.npz file"):
        load_npz(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(npy(IMAGES))
    with pytest.raises(DatasetRefused, match=r"not an \.npz file"):
        load_npz(tmp_path / "a.npz")
    with pytest.raises(DatasetRefused, match="65 entries"):
        load_npz(zipped(tmp_path, **{f"x{number}": b"" for number in range(65)}))
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(DatasetRefused, match=r"notes\.txt: is no \.npy entry"):
        load_npz(tmp_path / "b.npz")
    with zipfile.ZipFile(tmp_path / "c.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x_train.npy", npy(IMAGES))
    with pytest.raises(DatasetRefused, match="x_train: is compressed"):
        load_npz(tmp_path / "c.npz")


def test_a_file_that_is_not_there_is_no_bad_data(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_npz(tmp_path / "missing.npz")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_broken_file_is_refused_or_read_but_never_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "broken.npz"
    save = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
    save(path, x_train=IMAGES, y_train=LABELS)
    content = bytearray(path.read_bytes())
    # Most of the file are pixels; the headers, of the arrays and of the archive, are where it breaks.
    places = st.one_of(st.integers(0, 200), st.integers(-400, -1), st.integers(0, len(content) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = value
    path.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
    try:
        found = load_npz(path)
    except DatasetRefused:
        return
    assert found.train.images.dtype == np.uint8
