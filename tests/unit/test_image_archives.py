"""Which images an archive has and of which class, before any is opened; and what is refused."""

import io
import stat
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest

from adapt.data.folders import sort_into_classes
from adapt.data.members import Member, MemberReader, list_members, unpack_gzip
from adapt.errors import DatasetRefused
from tests.image_files import write_tar, write_zip

LIMIT = 1 << 20


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


def test_bombs_are_refused_before_anything_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(LIMIT + 1))
    with pytest.raises(DatasetRefused, match="unpacks to"):
        list_members(tmp_path / "x.zip", "zip", max_bytes=LIMIT)
    write_tar(tmp_path / "x.tgz", {"a/1.png": bytes(LIMIT + 1)}, "w:gz")
    with pytest.raises(DatasetRefused, match="unpacks to more than"):
        unpack_gzip(tmp_path / "x.tgz", tmp_path / "out", max_bytes=LIMIT)
    monkeypatch.setattr("adapt.data.members.MOST_ENTRIES", 2)
    for kind, write in (("zip", write_zip), ("tar", write_tar)):
        path = write(tmp_path / kind, {f"a/{number}.png": b"" for number in range(3)})
        with pytest.raises(DatasetRefused, match="at most 2"):
            list_members(path, kind, max_bytes=LIMIT)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", bytes(3000), b"PK\x05\x06" + bytes(10)])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_what_is_no_archive_is_refused(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DatasetRefused):
        sort_into_classes(list_members(tmp_path / "x", kind, max_bytes=LIMIT))


def test_a_broken_gzip_is_refused(tmp_path: Path) -> None:
    good = io.BytesIO(write_tar(tmp_path / "x.tgz", {"a/1.png": b"1" * 5000}, "w:gz").read_bytes()).getvalue()
    (tmp_path / "y.tgz").write_bytes(good[: len(good) // 2])
    with pytest.raises(DatasetRefused, match="can be read"):
        unpack_gzip(tmp_path / "y.tgz", tmp_path / "out", max_bytes=LIMIT)


def test_classes_are_the_folders_sorted_as_text() -> None:
    found = sort_into_classes(members("10/a.png", "2/b.jpg", "1/c.webp", "2/deeper/d.JPEG"))
    assert (found.classes, found.labels, found.test) == (("1", "10", "2"), (1, 2, 0, 2), None)
    assert any("10 comes before 2" in note for note in found.notes)


@pytest.mark.parametrize(
    ("names", "test", "test_from"),
    [
        (["train/a/1.png", "train/b/2.png", "test/a/3.png"], {2}, "test"),
        (["set/Train/a/1.png", "set/Train/b/2.png", "set/val/a/3.png"], {2}, "val"),
        (["train/a/1.png", "train/b/2.png", "val/a/3.png", "test/b/4.png"], {3}, "test"),
        (["images/a/1.png", "images/b/2.png"], None, "a stratified 20 % of the images, fixed"),
        (["train/a/1.png", "train/b/2.png"], None, "a stratified 20 % of the images, fixed"),
    ],
)
def test_splits_and_folders_around_everything_are_recognised(
    names: list[str], test: set[int] | None, test_from: str
) -> None:
    found = sort_into_classes(members(*names, "__MACOSX/train/a/._1.png", ".DS_Store"))
    assert found.classes == ("a", "b")
    assert (found.test, found.test_from) == (test, test_from)


def test_folders_that_only_look_like_splits_are_classes() -> None:
    assert sort_into_classes(members("test/1.png", "cat/2.png")).classes == ("cat", "test")


def test_files_that_are_no_images_are_left_out_and_said_so() -> None:
    found = sort_into_classes(members("a/1.png", "b/2.png", "b/x.gif", "README.md"))
    assert found.notes == ("left out: 2 files that are no JPEG, PNG or WebP, the first b/x.gif",)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a/1.txt"], "no JPEG, PNG or WebP file"),
        ([], "no JPEG, PNG or WebP file"),
        (["a/1.png", "2.png"], "2.png: lies in no folder"),
        (["train/a/1.png", "test/2.png"], "test/2.png: lies in a split"),
        (["train/a/1.png", "test/a/2.png", "unlabeled/3.png"], "unlabeled: is a folder beside test, train"),
    ],
)
def test_what_is_no_folder_per_class_is_refused_by_name(names: list[str], says: str) -> None:
    with pytest.raises(DatasetRefused, match=says):
        sort_into_classes(members(*names))
