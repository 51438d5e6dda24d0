"""An algorithm that comes as an archive is unpacked with nothing taken on trust."""

import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.algorithms.folder import read_folder
from inference.errors import InvalidAlgorithm
from overread.algorithm_archive import is_archive, unpack
from tests.peers.tiny_algorithm import write_tiny_algorithm

Add = Callable[[str, bytes], None]


def _zip(path: Path, fill: Callable[[Add], None]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive.writestr)
    return path


def _tar(path: Path, fill: Callable[[Add], None]) -> Path:
    with tarfile.open(path, "w:gz") as archive:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

        fill(add)
    return path


_KINDS: dict[str, Callable[[Path, Callable[[Add], None]], Path]] = {"algorithm.zip": _zip, "algorithm.tar.gz": _tar}
kinds = pytest.mark.parametrize("name", _KINDS)


def _target(tmp_path: Path) -> Path:
    target = tmp_path / "unpacked"
    target.mkdir()
    return target


def _packed(tmp_path: Path, name: str, below: str = "", *more: tuple[str, bytes]) -> tuple[Path, Path]:
    folder = write_tiny_algorithm(tmp_path / "algorithm")

    def fill(add: Add) -> None:
        for file in sorted(folder.iterdir()):
            add(below + file.name, file.read_bytes())
        for path, content in more:
            add(path, content)

    return folder, _KINDS[name](tmp_path / name, fill)


@kinds
@pytest.mark.parametrize("below", ["", "./", "tiny-1.0/"])
def test_an_archive_holds_what_the_folder_held(tmp_path: Path, name: str, below: str) -> None:
    """At its top or below one folder; what is no file of an algorithm stays in it."""
    more = ((below + "notes.txt", b"hello"), (below + "acceptance/case/one.dcm", b"dicom"))
    folder, archive = _packed(tmp_path, name, below, *more)

    home = unpack(archive, _target(tmp_path))

    assert read_folder(home) == read_folder(folder)
    assert sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()) == [
        "acceptance/case/one.dcm",
        "algorithm.yaml",
        "card.md",
        "model.onnx",
    ]


@kinds
@pytest.mark.parametrize(
    "path",
    [
        "/etc/card.md",
        "../card.md",
        "acceptance/../../card.md",
        "acceptance/a\\b",
        "c:/card.md",
        "acceptance//x",
        "a/" * 20,
    ],
)
def test_a_path_that_leads_elsewhere_refuses_the_whole(tmp_path: Path, name: str, path: str) -> None:
    """Nothing is written outside, not even where the name of the file is one of ours."""
    _, archive = _packed(tmp_path, name, "", (path.rstrip("/") if name.endswith("gz") else path + "x", b"x"))
    before = {file for file in tmp_path.rglob("*") if "unpacked" not in str(file)}

    with pytest.raises(InvalidAlgorithm, match="leads elsewhere"):
        unpack(archive, _target(tmp_path))

    assert {file for file in tmp_path.rglob("*") if "unpacked" not in str(file)} == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_link_or_device_in_a_tar_refuses_the_whole(tmp_path: Path, kind: bytes) -> None:
    """Also under a name that would be passed over."""
    archive = tmp_path / "algorithm.tgz"
    with tarfile.open(archive, "w:gz") as opened:
        member = tarfile.TarInfo("model.onnx")
        member.type, member.linkname = kind, "/etc/passwd"
        opened.addfile(member)

    with pytest.raises(InvalidAlgorithm, match="a link or a device"):
        unpack(archive, _target(tmp_path))


def test_a_link_in_a_zip_refuses_the_whole(tmp_path: Path) -> None:
    """As Info-ZIP stores one: by the kind of file in the attributes."""
    archive = tmp_path / "algorithm.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        link = zipfile.ZipInfo("model.onnx")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, "/etc/passwd")

    with pytest.raises(InvalidAlgorithm, match="a link or a device"):
        unpack(archive, _target(tmp_path))


@kinds
def test_a_bomb_stops_at_the_limit(tmp_path: Path, name: str) -> None:
    """A small archive of a large file writes no more than is allowed."""
    _, archive = _packed(tmp_path, name, "", ("acceptance/zeros", bytes(80 * 2**20)))
    target = _target(tmp_path)

    with pytest.raises(InvalidAlgorithm, match="more than an algorithm may have"):
        unpack(archive, target, most_bytes=2**20)

    assert sum(file.stat().st_size for file in target.rglob("*") if file.is_file()) <= 2**20


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    """The directory says one byte; what comes out is counted all the same."""
    _, archive = _packed(tmp_path, "algorithm.zip", "", ("acceptance/zeros", bytes(4 * 2**20)))
    content = bytearray(archive.read_bytes())
    for at in range(len(content) - 3):
        if int.from_bytes(content[at : at + 4], "little") == 4 * 2**20:
            content[at : at + 4] = (1).to_bytes(4, "little")
    archive.write_bytes(content)

    with pytest.raises(InvalidAlgorithm):
        unpack(archive, _target(tmp_path))


def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    """A long name or PAX header is read into memory by its reader, so its claim is not believed."""
    archive = tmp_path / "algorithm.tar.gz"
    with tarfile.open(archive, "w:gz") as opened:
        member = tarfile.TarInfo("pax")
        member.type, member.size = tarfile.XHDTYPE, 2**32
        opened.fileobj.write(member.tobuf())  # type: ignore[union-attr]
        opened.fileobj.write(bytes(2**20))  # type: ignore[union-attr]

    with pytest.raises(InvalidAlgorithm, match="more than an algorithm may have"):
        unpack(archive, _target(tmp_path))


@kinds
def test_what_is_no_whole_archive_is_refused(tmp_path: Path, name: str) -> None:
    """Cut at any place, or no archive at all, or with one path twice, or with two algorithms or none."""
    _, archive = _packed(tmp_path, name)
    whole = archive.read_bytes()
    for number, content in enumerate([b"", b"nothing", whole[: len(whole) // 2], whole[: len(whole) // 10]]):
        archive.write_bytes(content)
        target = tmp_path / f"try-{number}"
        target.mkdir()
        with pytest.raises(InvalidAlgorithm):
            unpack(archive, target)


@kinds
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_path_twice_two_algorithms_or_none_are_refused(tmp_path: Path, name: str) -> None:
    """Which of them is meant could not be said."""
    for number, more in enumerate(
        [[("card.md", b"again")], [("other/algorithm.yaml", b"x")]],
    ):
        (tmp_path / str(number)).mkdir()
        _, archive = _packed(tmp_path / str(number), name, "", *more)
        with pytest.raises(InvalidAlgorithm, match=r"twice|2 files"):
            unpack(archive, _target(tmp_path / str(number)))
    empty = _KINDS[name](tmp_path / name, lambda add: add("readme.md", b"x"))
    with pytest.raises(InvalidAlgorithm, match="0 files"):
        unpack(empty, _target(tmp_path))


def test_the_name_says_what_is_an_archive() -> None:
    """Folders and other files are none."""
    names = ["a.zip", "A.ZIP", "a.tar.gz", "a.tgz", "a.tar", "folder", "a.onnx"]

    assert [is_archive(Path(name)) for name in names] == [True, True, True, True, False, False, False]


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_spoilt_member_of_any_kind_is_told_as_such(tmp_path: Path, how: int) -> None:
    """Each way of packing fails with an error of its own; none is said to be the disk's, or a fault of ours."""
    content = os.urandom(5000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", how) as archive:
        archive.writestr("card.md", content)
        archive.writestr("model.onnx", content)
    spoilt = bytearray((tmp_path / "a.zip").read_bytes())
    spoilt[60:160] = b"\xff" * 100
    (tmp_path / "a.zip").write_bytes(spoilt)

    with pytest.raises(InvalidAlgorithm, match=r"is no whole \.zip"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("how", ["no name", "before the beginning"])
def test_a_zip_whose_directory_is_odd_is_no_whole_one(tmp_path: Path, how: str) -> None:
    """A member without a name, and one that stands before the archive begins, are the archive's fault."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("card.md", "x")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    directory = content.index(b"PK\x01\x02")
    if how == "no name":  # length of the name, which becomes the extra field
        content[directory + 28 : directory + 32] = struct.pack("<HH", 0, 7)
        content[directory + 46 : directory + 53] = struct.pack("<HH", 9, 3) + b"xxx"
    else:  # the end says that the directory stands further back than it does
        end = content.index(b"PK\x05\x06")
        content[end + 16 : end + 20] = struct.pack("<L", directory + 10**6)
    (tmp_path / "a.zip").write_bytes(content)

    with pytest.raises(InvalidAlgorithm, match=r"is no whole \.zip"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("paths", [("acceptance/a", "acceptance/a/b"), ("acceptance/a/b", "acceptance/a")])
def test_a_file_in_the_place_of_a_folder_is_one_path_twice(tmp_path: Path, paths: tuple[str, str]) -> None:
    """That is the archive's fault and not the disk's."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in paths:
            archive.writestr(path, "x")

    with pytest.raises(InvalidAlgorithm, match="holds one path twice"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_pipe_with_the_name_of_an_archive_is_refused(tmp_path: Path) -> None:
    """It is not waited for."""
    os.mkfifo(tmp_path / "a.zip")

    with pytest.raises(InvalidAlgorithm, match="is no file"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
