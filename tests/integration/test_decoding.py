"""Archives and parquet files decoded by child processes: pixels, conversions, what is left out, what is refused."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from adapt.data.concluding import Decoded
from adapt.data.dataset import Dataset, TrainingData
from adapt.data.decoding import DecodingLimits, decode_listed, list_images, load_decoded
from adapt.data.decoding_process import decode_step, survey_step
from adapt.data.opening import opened_dataset
from adapt.errors import DatasetRefused, NotEnoughData, Stopped
from adapt.executors.handover import read_task, write_task
from adapt.executors.task import TrainingTask
from adapt.latency.machine_lock import MachineLock
from adapt.spec import Settings, default_normalization
from tests.image_files import encoded, folders, write_tar, write_zip
from tests.small_task import small_network

LIMITS = DecodingLimits(max_bytes=64 << 20)


def decode(path: Path, kind: str, folder: Path, limits: DecodingLimits = LIMITS) -> tuple[Decoded, Dataset]:
    folder.mkdir()
    list_images(path, kind, folder, limits)
    decoded = decode_listed(folder, limits)
    facts = decoded.facts
    return decoded, load_decoded(
        folder / "images.npy",
        folder / "labels.npy",
        name="x",
        origin=kind,
        classes=facts.classes,
        splits=facts.splits,
    )


def rgb(content: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_a_zip_becomes_the_pixels_of_its_images_whatever_the_number_of_processes(tmp_path: Path) -> None:
    files = folders()
    path = write_zip(tmp_path / "x.zip", files)
    decoded, data = decode(path, "zip", tmp_path / "one")
    assert (data.classes, data.image_shape) == (("class0", "class1", "class2"), (10, 12, 3))
    assert (len(data.train), len(data.test)) == (14, 4)
    assert data.counts == decoded.facts.counts
    for row, content in enumerate(files.values()):
        assert (data.train.images[row] == rgb(content)).all()
    _, again = decode(path, "zip", tmp_path / "two", DecodingLimits(max_bytes=64 << 20, workers=2))
    assert (again.train.images == data.train.images).all()
    assert (again.test.rows == data.test.rows).all()
    assert np.load(tmp_path / "one" / "sample.npy").shape == (18, 10, 12, 3)


def test_a_packed_tar_with_declared_splits_and_images_of_many_kinds(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    files = folders(each=5, prefix="set/train/") | folders(each=2, prefix="set/test/")
    files |= {
        "set/train/class0/grey.png": encoded("L"),
        "set/train/class0/sixteen.png": sixteen_bits(),
        "set/train/class1/palette.png": encoded("P"),
        "set/train/class1/alpha.png": encoded("RGBA"),
        "set/train/class1/photo.webp": encoded(kind="WEBP"),
        "set/train/class1/moving.gif": animated(),
        "set/train/class1/map.bmp": encoded(kind="BMP"),
        "set/train/class1/scan.tiff": encoded(kind="TIFF"),
        "set/train/class1/sign.ppm": encoded(kind="PPM"),
        "set/train/class2/odd_exif.jpg": encoded(size=(10, 12), kind="JPEG", exif=b"Exif\x00\x00broken"),
        "set/train/class2/turned.jpg": encoded(size=(10, 12), kind="JPEG", exif=turned),
        "set/train/class2/wide.jpg": encoded("CMYK", size=(60, 20), kind="JPEG"),
    }
    decoded, data = decode(write_tar(tmp_path / "x.tgz", files, "w:gz"), "tar.gz", tmp_path / "out")
    assert (len(data.train), len(data.test), data.splits["test_from"]) == (27, 6, "test")
    assert data.image_shape == (10, 10, 3)
    notes = " / ".join(decoded.facts.notes)
    for said in (
        "set",
        "2 images grey",
        "2 images with a palette",
        "1 image with an alpha",
        "1 image turned",
        "16 bits",
        "1 image of several pictures",
    ):
        assert said in notes
    assert decoded.report["sizes"]["largest"] == [20, 60]
    gif = data.train.images[list(files).index("set/train/class1/moving.gif")]
    assert abs(int(gif.mean()) - 10) < 2
    assert len(decoded.report["channel_mean"]) == 3


def animated() -> bytes:
    first, second = (Image.fromarray(np.full((10, 12, 3), grey, np.uint8)) for grey in (10, 200))
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=[second])
    return buffer.getvalue()


def sixteen_bits() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((10, 12), 0x8000, np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def test_grey_images_alone_stay_grey(tmp_path: Path) -> None:
    _, data = decode(write_zip(tmp_path / "x.zip", folders(mode="L")), "zip", tmp_path / "out")
    assert data.image_shape == (10, 12, 1)


def test_few_damaged_images_are_left_out_by_name_and_many_refuse_the_whole(tmp_path: Path) -> None:
    files = folders(each=10)
    files["class1/3.png"] = files["class1/3.png"][:60]
    decoded, data = decode(write_zip(tmp_path / "x.zip", files), "zip", tmp_path / "few")
    assert len(data.train) + len(data.test) == 29
    assert data.counts["class1"]["train"] + data.counts["class1"]["test"] == 9
    assert decoded.report["unreadable"]["count"] == 1
    assert any("class1/3.png" in note and "1 of 30" in note for note in decoded.facts.notes)
    files |= {"class0/1.png": b"no image", "class0/2.png": b""}
    with pytest.raises(DatasetRefused, match=r"3 of 30 images \(10%\) cannot be decoded.*at most 5%.*class0/1\.png"):
        decode(write_zip(tmp_path / "y.zip", files), "zip", tmp_path / "many")


def test_images_that_are_there_twice_are_counted_and_a_leak_into_the_test_part_is_said(tmp_path: Path) -> None:
    files = folders(each=4, prefix="train/") | folders(each=2, prefix="test/")
    files["test/class0/0.png"] = files["train/class0/0.png"]
    files["train/class1/0.png"] = files["train/class1/1.png"] = files["train/class2/0.png"]
    decoded, _ = decode(write_zip(tmp_path / "x.zip", files), "zip", tmp_path / "out")
    assert decoded.report["duplicates"] == {"count": 3, "across_splits": 1, "across_classes": 1}
    notes = " / ".join(decoded.facts.notes)
    for said in (
        "3 images are byte for byte",
        "1 image is in the test part and in",
        "1 image is in more than one class",
    ):
        assert said in notes


def test_a_test_part_without_a_readable_image_is_refused(tmp_path: Path) -> None:
    files = folders(each=10, prefix="train/") | {"test/class0/1.png": b"no image"}
    with pytest.raises(NotEnoughData, match="test: has no readable image"):
        decode(write_zip(tmp_path / "x.zip", files), "zip", tmp_path / "out")


def test_an_image_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    huge = bytearray(encoded())
    huge[16:24] = (60_000).to_bytes(4, "big") * 2  # the header's width and height
    with pytest.raises(DatasetRefused, match="cannot be decoded"):
        decode(write_zip(tmp_path / "x.zip", folders(each=3) | {"class0/9.png": bytes(huge)}), "zip", tmp_path / "out")


@pytest.mark.parametrize(
    ("files", "error", "says"),
    [
        ({"a/1.png": b"1", "a/2.png": b"2"}, DatasetRefused, r"one class only \(a\)"),
        ({"a/1.png": b"", "a/2.png": b"", "a/3.png": b"", "b/1.png": b""}, NotEnoughData, "class b: has 1 image"),
        ({"a/1.exe": b""}, DatasetRefused, "no JPEG"),
    ],
)
def test_what_cannot_be_a_data_set_is_refused_by_its_directory(
    tmp_path: Path, files: dict[str, bytes], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        list_images(write_zip(tmp_path / "x.zip", files), "zip", tmp_path, LIMITS)


def test_a_file_opens_in_one_process_too_and_trains_in_others_without_a_copy(tmp_path: Path) -> None:
    with opened_dataset(write_zip(tmp_path / "x.zip", folders(each=8))) as data:
        task = TrainingTask(
            original=small_network()[0].graph,
            groups=(),
            data=TrainingData(train=data.train, holdout=data.train, normalization=default_normalization(3)),
            settings=Settings(),
            lock_directory=None,
        )
        write_task(task, tmp_path)
        found = read_task(tmp_path).data.train
        assert isinstance(found.images, np.memmap)
        assert not (tmp_path / "images.npy").exists()
        assert (found.take(np.arange(5))[0] == data.train.take(np.arange(5))[0]).all()


def test_decoding_stops_when_asked(tmp_path: Path) -> None:
    list_images(write_zip(tmp_path / "x.zip", folders()), "zip", tmp_path, LIMITS)
    with pytest.raises(Stopped):
        decode_listed(tmp_path, LIMITS, stop=lambda: True)


def test_while_somebody_measures_nothing_is_decoded_and_one_may_still_stop(tmp_path: Path) -> None:
    looks = iter(range(20))
    list_images(write_zip(tmp_path / "x.zip", folders()), "zip", tmp_path, LIMITS)
    with MachineLock(tmp_path / "locks").measuring(), pytest.raises(Stopped):
        decode_listed(tmp_path, LIMITS, stop=lambda: next(looks, None) is None, lock_directory=tmp_path / "locks")
    assert not (tmp_path / "images.npy").exists()
    decode_listed(tmp_path, LIMITS, lock_directory=tmp_path / "locks")


def test_decoding_offers_to_let_go_of_the_machine_at_every_image(tmp_path: Path) -> None:
    list_images(write_zip(tmp_path / "x.zip", folders()), "zip", tmp_path, LIMITS)
    np.lib.format.open_memmap(tmp_path / "images.npy", mode="w+", dtype=np.uint8, shape=(18, 10, 12, 3))
    np.save(tmp_path / "digests.npy", np.zeros(18, np.uint64))
    pauses: list[str] = []
    survey_step(str(tmp_path), 0, 18, lambda: pauses.append("survey"))
    decode_step(str(tmp_path), 0, 18, [10, 12, 3], lambda: pauses.append("decode"))
    assert pauses == ["survey"] * 18 + ["decode"] * 18


def parquet(path: Path, labels: Any, names: list[str] | None = None, column: str = "image", **more: Any) -> Path:
    images = [{"bytes": encoded(), "path": None} for _ in labels]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({column: pa.array(images, kind), "label": pa.array(labels), **more})
    if names is not None:
        feature = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": feature}})})
    pq.write_table(table, path, row_group_size=5)
    return path


def test_a_parquet_file_of_several_row_groups_keeps_its_class_names(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", [k % 2 for k in range(12)], names=["cat", "dog"])
    limits = DecodingLimits(max_bytes=64 << 20, workers=2)
    _, data = decode(path, "parquet", tmp_path / "out", limits)
    assert (data.classes, len(data.train), len(data.test)) == (("cat", "dog"), 10, 2)
    rows = pq.read_table(path).column("image").to_pylist()
    for row, value in enumerate(rows):
        assert (data.train.images[row] == rgb(value["bytes"])).all()


def test_text_labels_are_classes_sorted_as_text(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", ["dog", "cat", "dog", "cat", "cat", "dog"], column="img")
    assert decode(path, "parquet", tmp_path / "out")[1].classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("labels", "names", "says"),
    [
        ([0, 1, 2, 0, 1, 0], ["cat", "dog"], "label, row 2: is 2"),
        ([0, 1, -1, 0], None, "label, row 2: is -1"),
        ([0, 1, None, 0], None, "label, row 2: has no label"),
        ([0.5, 1.0], None, "integers or text"),
        ([0, 0, 0], None, "one class only"),
    ],
)
def test_bad_labels_are_refused_by_row(tmp_path: Path, labels: Any, names: list[str] | None, says: str) -> None:
    with pytest.raises(DatasetRefused, match=says):
        list_images(parquet(tmp_path / "x.parquet", labels, names), "parquet", tmp_path, LIMITS)


def test_a_parquet_file_that_is_none_or_has_no_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(DatasetRefused, match=r"no \.parquet file"):
        list_images(tmp_path / "x.parquet", "parquet", tmp_path, LIMITS)
    pq.write_table(pa.table({"picture": [1], "label": [0]}), tmp_path / "y.parquet")
    with pytest.raises(DatasetRefused, match="no image column"):
        list_images(tmp_path / "y.parquet", "parquet", tmp_path, LIMITS)
    pq.write_table(pa.table({"image": ["a.png"], "label": [0]}), tmp_path / "z.parquet")
    with pytest.raises(DatasetRefused, match="not encoded images"):
        list_images(tmp_path / "z.parquet", "parquet", tmp_path, LIMITS)


STRUCTS = pa.struct([("bytes", pa.struct([("bytes", pa.binary())]))])


@pytest.mark.parametrize(
    ("columns", "names", "features", "named"),
    [
        (
            {"image": [b"a", b"b"], "label": [0, 1], "other": [b"a", b"b"]},
            ["image", "label", "image"],
            {},
            "two columns",
        ),
        ({"pixels": [b"a", b"b"], "label": [0, 1]}, None, {"\ud800": {"_type": "Image"}}, "none of its 8 images"),
        ({"pixels": [b"a", b"b"], "label": [0, 1]}, None, {"gone": {"_type": "Image"}}, "none of its 8 images"),
        (
            {"image": pa.array([{"bytes": {"bytes": b"a"}}] * 2, STRUCTS), "label": [0, 1]},
            None,
            {},
            "not encoded images",
        ),
    ],
    ids=["doubled", "no text", "not there", "nested"],
)
def test_columns_that_are_not_as_they_are_told_are_refused(
    columns: dict[str, Any], names: list[str] | None, features: dict[str, Any], named: str, tmp_path: Path
) -> None:
    """Found by mutating files."""
    table = pa.table([pa.array(values) for values in columns.values()], names=names or list(columns))
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.concat_tables([table] * 4).replace_schema_metadata(metadata), tmp_path / "x.parquet")
    with pytest.raises(DatasetRefused, match=named):
        decode(tmp_path / "x.parquet", "parquet", tmp_path / "out")
