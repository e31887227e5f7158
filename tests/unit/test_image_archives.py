"""Which images an archive has and of which class, before any is opened; and what is refused."""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import unicodedata
import warnings
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from adapt.data.folders import sort_into_classes
from adapt.data.members import Member, MemberReader, list_members
from adapt.data.sniffing import sniff_format
from adapt.data.unpacking import unpack_tar
from adapt.errors import DatasetRefused
from tests.image_files import RNG, encoded, write_tar, write_zip

LIMIT = 1 << 20


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def members(*names: str) -> list[Member]:
    return [Member(name=name, place=place, size=1) for place, name in enumerate(names)]


def test_zip_and_tar_give_back_every_file_by_its_place(tmp_path: Path) -> None:
    files = {"a/1.png": b"one", "b/2.png": b"twelve"}
    for kind, write in (("zip", write_zip), ("tar", write_tar)):
        path = write(tmp_path / f"x.{kind}", files)
        found = list_members(path, kind, max_bytes=LIMIT)
        with MemberReader(path, kind) as reader:
            assert {member.name: reader.read(member.place, member.size) for member in found} == files


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "a/../../out.png", "C:/out.png", "..\\out.png"])
@pytest.mark.parametrize(("kind", "write"), [("zip", write_zip), ("tar", write_tar)])
def test_names_that_lead_out_of_the_archive_are_refused(tmp_path: Path, kind: str, write: object, name: str) -> None:
    path = (write_zip if kind == "zip" else write_tar)(tmp_path / "x", {"a/1.png": b"1", name: b"2"})
    with pytest.raises(DatasetRefused, match="leads out of the archive"):
        list_members(path, kind, max_bytes=LIMIT)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused_by_name(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        info = tarfile.TarInfo("a/link.png")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DatasetRefused, match=r"a/link\.png: is a link, a device"):
        list_members(tmp_path / "x.tar", "tar", max_bytes=LIMIT)


def test_a_link_in_a_zip_is_refused_by_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("a/link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DatasetRefused, match=r"a/link\.png: is a link"):
        list_members(tmp_path / "x.zip", "zip", max_bytes=LIMIT)


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("a/1.png", b"1")
        archive.writestr("a/1.png", b"2")
    with pytest.raises(DatasetRefused, match="twice"):
        list_members(tmp_path / "x.zip", "zip", max_bytes=LIMIT)


def test_bombs_are_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(LIMIT + 1))
    with pytest.raises(DatasetRefused, match="unpacks to"):
        list_members(tmp_path / "x.zip", "zip", max_bytes=LIMIT)
    write_tar(tmp_path / "x.tgz", {"a/1.png": bytes(LIMIT + 1)}, "w:gz")
    with pytest.raises(DatasetRefused, match="unpacks to more than"):
        unpack_tar(tmp_path / "x.tgz", "tar.gz", tmp_path / "out", max_bytes=LIMIT)
    for kind, write in (("zip", write_zip), ("tar", write_tar)):
        path = write(tmp_path / kind, {f"a/{number}.png": b"" for number in range(3)})
        with pytest.raises(DatasetRefused, match="at most 2"):
            list_members(path, kind, max_bytes=LIMIT, max_entries=2)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", bytes(3000), b"PK\x05\x06" + bytes(10)])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_what_is_no_archive_is_refused(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DatasetRefused):
        sort_into_classes(list_members(tmp_path / "x", kind, max_bytes=LIMIT))


PACKED = {"tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress, "tar.zst": zstd}


@pytest.mark.parametrize("kind", PACKED)
def test_packed_tars_are_told_apart_unpacked_and_refused_when_broken_or_a_bomb(tmp_path: Path, kind: str) -> None:
    path, out, pauses = tmp_path / "x", tmp_path / "out", []
    plain = write_tar(tmp_path / "plain", {"a/1.png": RNG.bytes(5000)}).read_bytes()
    path.write_bytes(PACKED[kind](plain))
    assert sniff_format(path) == kind
    unpack_tar(path, kind, out, max_bytes=LIMIT, pause_point=lambda: pauses.append(1))
    assert (out.read_bytes(), len(pauses)) == (plain, 1)
    path.write_bytes(PACKED[kind](plain)[:3000])
    with pytest.raises(DatasetRefused, match="can be read"):
        list_members_of_packed(path, kind, out)
    path.write_bytes(PACKED[kind](bytes(LIMIT + 1)))
    with pytest.raises(DatasetRefused, match="unpacks to more than 1048576 bytes"):
        unpack_tar(path, kind, out, max_bytes=LIMIT)


def list_members_of_packed(path: Path, kind: str, out: Path) -> None:
    unpack_tar(path, kind, out, max_bytes=LIMIT)
    list_members(out, "tar", max_bytes=LIMIT)


def test_a_packed_tar_far_larger_than_its_file_is_no_archive_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapt.data.unpacking.FREELY_UNPACKED_BYTES", 1000)
    (tmp_path / "x").write_bytes(gzip.compress(bytes(LIMIT)))
    with pytest.raises(DatasetRefused, match="200 times its size"):
        unpack_tar(tmp_path / "x", "tar.gz", tmp_path / "out", max_bytes=8 << 30)


@pytest.mark.parametrize("utf8_flag", [True, False])
def test_names_from_windows_and_macos_are_read_as_they_were_meant(tmp_path: Path, utf8_flag: bool) -> None:
    apart = unicodedata.normalize("NFD", "Café")
    names = [f"{apart}\\1.png", "Café/2.png", "Café/Icon\r", "猫/3.png", "leer\\"]
    path = write_zip(tmp_path / "x.zip", dict.fromkeys(names, b"1"))
    if not utf8_flag:  # macOS' packer writes UTF-8 and does not say so
        path.write_bytes(path.read_bytes().replace(*FLAGGED_ENTRY).replace(*FLAGGED_IN_DIRECTORY))
    found = list_members(tmp_path / "x.zip", "zip", max_bytes=LIMIT)
    assert [member.name for member in found] == ["Café/1.png", "Café/2.png", "猫/3.png"]


FLAGGED_ENTRY = (b"PK\x03\x04\x14\x00\x00\x08", b"PK\x03\x04\x14\x00\x00\x00")
FLAGGED_IN_DIRECTORY = (b"PK\x01\x02\x14\x03\x14\x00\x00\x08", b"PK\x01\x02\x14\x03\x14\x00\x00\x00")


def test_a_tar_that_was_cut_off_between_two_files_is_refused(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "x.tar", {f"{name}/1.png": b"1" * 512 for name in "abc"}).read_bytes()
    for size in (1024, 2048, 3072):
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        with pytest.raises(DatasetRefused, match="cut off"):
            list_members(tmp_path / "cut.tar", "tar", max_bytes=LIMIT)


def test_a_name_in_a_tar_that_is_no_utf8_can_be_shown_and_stored(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("Müll/1.png"), io.BytesIO())
    (member,) = list_members(tmp_path / "x.tar", "tar", max_bytes=LIMIT)
    assert member.name == "Müll/1.png"


def test_what_is_known_not_to_be_a_data_set_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for start, says in (
        (b"Rar!", "rar"),
        (b"7z\xbc\xaf", "7z"),
        (b"\x93NUMPY", "savez"),
        (b"\x80\x04", "pickle"),
        (encoded(), "one picture"),
    ):
        (tmp_path / "x").write_bytes(start)
        with pytest.raises(DatasetRefused, match=says):
            sniff_format(tmp_path / "x")


def test_classes_are_the_folders_sorted_as_text() -> None:
    found = sort_into_classes(members("10/a.png", "2/b.jpg", "1/c.webp", "2/deeper/d.JPEG"))
    assert (found.classes, found.labels, found.declared) == (("1", "10", "2"), (1, 2, 0, 2), None)
    assert any("10 comes before 2" in note for note in found.notes)


@pytest.mark.parametrize(
    ("names", "roles", "said"),
    [
        (["train/a/1.png", "train/b/2.png", "test/a/3.png"], "TRAIN TRAIN TEST", "test"),
        (["set/Train/a/1.png", "set/Train/b/2.png", "set/val/a/3.png"], "TRAIN TRAIN TEST", "val"),
        (
            ["train/a/1.png", "train/b/2.png", "val/a/3.png", "test/b/4.png"],
            "TRAIN TRAIN HOLDOUT TEST",
            "test, hold-out val",
        ),
        (
            [
                "x/training_set/training_set/a/1.png",
                "x/training_set/training_set/b/1.png",
                "x/test_set/test_set/b/1.png",
            ],
            "TRAIN TRAIN TEST",
            "test_set",
        ),
        (
            ["seg_train/seg_train/a/1.png", "seg_train/seg_train/b/1.png", "seg_test/seg_test/b/1.png"],
            "TRAIN TRAIN TEST",
            "seg_test",
        ),
        (["train/images/a/1.png", "train/images/b/1.png", "test/images/b/1.png"], "TRAIN TRAIN TEST", "test"),
        (["a/train/1.png", "b/train/1.png", "b/test/x/1.png"], "TRAIN TRAIN TEST", "test"),
    ],
)
def test_declared_splits_are_recognised_wherever_people_put_them(names: list[str], roles: str, said: str) -> None:
    found = sort_into_classes(members(*names, "__MACOSX/train/a/._1.png", ".DS_Store", "README.md"))
    assert (found.classes, found.declared is not None) == (("a", "b"), True)
    assert found.declared is not None
    assert " ".join(role.name for role in found.declared.roles) == roles
    holdout = f", hold-out {found.declared.holdout_from}" if found.declared.holdout_from else ""
    assert found.declared.test_from + holdout == said


@pytest.mark.parametrize("around", ["", "images/", "set/images/", "train/"])
def test_folders_around_everything_are_taken_off(around: str) -> None:
    found = sort_into_classes(members(f"{around}a/1.png", f"{around}b/2.png", f"{around}b/deeper/3.png"))
    assert (found.classes, found.labels, found.declared) == (("a", "b"), (0, 1, 1), None)


def test_folders_that_only_look_like_splits_are_classes() -> None:
    assert sort_into_classes(members("test/1.png", "cat/2.png")).classes == ("cat", "test")


def test_files_that_are_no_images_are_left_out_and_said_so() -> None:
    found = sort_into_classes(members("a/1.png", "b/2.png", "b/x.txt", "README.md", "a/Thumbs.db", "a/.hidden.png"))
    assert found.notes == ("left out: 2 files that are no images, the first b/x.txt",)


def test_pictures_of_kinds_that_are_not_read_stay_so_that_no_class_vanishes() -> None:
    assert sort_into_classes(members("a/1.png", "b/2.HEIC")).classes == ("a", "b")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a/1.txt"], "no JPEG, PNG or WebP file"),
        (["data/train-00000.parquet"], "data/train-00000.parquet: send such a file itself"),
        ([], "no JPEG, PNG or WebP file"),
        (["a/1.png", "2.png"], "2.png: lies in no folder"),
        (["x/a/1.png", "x/b/1.png", "x/2.png"], "x/2.png: lies in no folder of a class"),
        (["train/a/1.png", "test/2.png"], "test/2.png: lies in a split"),
        (["train/a/1.png", "test/a/2.png", "unlabeled/3.png"], "unlabeled: is a folder beside test, train"),
    ],
)
def test_what_is_no_folder_per_class_is_refused_by_name(names: list[str], says: str) -> None:
    with pytest.raises(DatasetRefused, match=says):
        sort_into_classes(members(*names))
