"""An algorithm that comes as an archive: unpacked without trusting a name, a size or a link in it.

Of an archive only the files of an algorithm are written: manifest, card, network, golden pair and acceptance set. What
lies beside them is passed over; what could act (a link, a device, a path that leads elsewhere) refuses the whole.
"""

import errno
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

from inference.algorithms.folder import CARD_NAME, GOLDEN_NAME
from inference.algorithms.manifest import MANIFEST_NAME
from inference.errors import InvalidAlgorithm

ACCEPTANCE_FOLDER = "acceptance"
_MOST_BYTES = 8 * 2**30
_MOST_MEMBERS = 50_000
_MOST_DEPTH = 12
_LONGEST_NAME = 200
_PIECE = 2**20
_HEADERS = 64 * 2**20  # what they may take of a tar beside the files
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.onnx")
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError),
    # Of zipfile: methods it does not know, encryption, odd headers, empty names.
    *(NotImplementedError, RuntimeError, ValueError, LookupError),
)
_Members = Iterator[tuple[str, IO[bytes]]]  # name and content, which is read before the next one is asked for
_ZIP, _TAR = (".zip",), (".tar.gz", ".tgz")


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive which ``unpack`` takes."""
    return path.name.lower().endswith((*_ZIP, *_TAR))


def unpack(archive: Path, target: Path, most_bytes: int = _MOST_BYTES) -> Path:
    """Write the algorithm in the archive below ``target``, which is empty, and return its folder.

    Raises:
        InvalidAlgorithm: it is no such archive, holds something that is no plain file or leads out of it, or more than
            ``most_bytes``; what was written so far is the caller's to remove.
        OSError: the disk refuses.
    """
    if archive.exists() and not archive.is_file():  # a pipe would be waited for without end
        raise InvalidAlgorithm(f"{archive} is no file; give a folder, a .zip or a .tar.gz.")
    opened = _zip_members if archive.name.lower().endswith(_ZIP) else _tar_members
    left = most_bytes
    try:
        with opened(archive, most_bytes) as members:
            for number, (name, file) in enumerate(members):
                if number >= _MOST_MEMBERS:
                    raise InvalidAlgorithm(f"{archive} holds more than {_MOST_MEMBERS} files; pack less.")
                path = _plain_path(archive, name)
                if _belongs(path):
                    left -= _write(file, target / path, left, archive)
    except _BROKEN:
        raise _broken(archive) from None
    except OSError as error:
        # bz2 knows no error of its own; a header may place a file before the beginning of the archive.
        if error.errno in (None, errno.EINVAL):
            raise _broken(archive) from None
        raise
    return _home(archive, target)


def _plain_path(archive: Path, name: str) -> PurePosixPath:
    """A path that stays below the folder it is put in. Raises InvalidAlgorithm."""
    path = PurePosixPath(name)
    parts = name.removeprefix("./").rstrip("/").split("/")
    odd = any(part in ("", ".", "..") or "\\" in part or not part.isprintable() for part in parts)
    if path.is_absolute() or odd or len(parts) > _MOST_DEPTH or len(name.encode()) > _LONGEST_NAME or ":" in parts[0]:
        raise InvalidAlgorithm(f"{archive} holds a path that leads elsewhere or is none; pack it again.")
    return PurePosixPath(*parts)


def _belongs(path: PurePosixPath) -> bool:
    """Whether it is a file of an algorithm, at the top or below the one folder that holds everything."""
    for parts in (path.parts, path.parts[1:]):
        if not parts:
            continue
        if len(parts) > 1 and parts[0] == ACCEPTANCE_FOLDER:
            return True
        known = parts[0] in (MANIFEST_NAME, CARD_NAME, GOLDEN_NAME)
        if len(parts) == 1 and (known or _NETWORK.fullmatch(parts[0])):
            return True
    return False


def _write(file: IO[bytes], path: Path, left: int, archive: Path) -> int:
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as target:
            while piece := file.read(_PIECE):
                written += len(piece)
                if written > left:
                    raise _too_much(archive)
                target.write(piece)
    except (FileExistsError, NotADirectoryError):  # a file in the place of a folder too
        raise InvalidAlgorithm(f"{archive} holds one path twice; pack it again.") from None
    return written


def _home(archive: Path, target: Path) -> Path:
    homes = [manifest.parent for manifest in (target / MANIFEST_NAME, *target.glob(f"*/{MANIFEST_NAME}"))]
    homes = [home for home in homes if (home / MANIFEST_NAME).is_file()]
    if len(homes) != 1:
        raise InvalidAlgorithm(f"{archive} holds {len(homes)} files {MANIFEST_NAME}; an algorithm has one.")
    return homes[0]


@contextmanager
def _zip_members(archive: Path, most_bytes: int) -> Iterator[_Members]:
    def members(opened: zipfile.ZipFile) -> _Members:
        listed = opened.infolist()
        if sum(member.file_size for member in listed) > most_bytes:
            raise _too_much(archive)
        for member in listed:
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _no_plain_file(archive)
            if not member.is_dir():
                with opened.open(member) as file:
                    yield member.filename, file

    with zipfile.ZipFile(archive) as opened:
        yield members(opened)


@contextmanager
def _tar_members(archive: Path, most_bytes: int) -> Iterator[_Members]:
    def members(opened: tarfile.TarFile) -> _Members:
        for member in opened:
            if member.isdir():
                continue
            file = opened.extractfile(member) if member.isreg() else None
            if file is None:
                raise _no_plain_file(archive)
            with file:
                yield member.name, file

    with gzip.open(archive) as content:
        sparing = cast(IO[bytes], _Sparing(content, most_bytes + _HEADERS, archive))
        with tarfile.open(fileobj=sparing, mode="r:") as opened:
            yield members(opened)


class _Sparing:
    """A file of which small pieces are read, and not without end: a header may claim to be terabytes long."""

    def __init__(self, file: gzip.GzipFile, end: int, archive: Path) -> None:
        self._file = file
        self._end = end
        self._archive = archive

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _PIECE or self._file.tell() + size > self._end:
            raise _too_much(self._archive)
        return self._file.read(size)

    def seek(self, place: int) -> int:
        if not 0 <= place <= self._end:
            raise _too_much(self._archive)
        return self._file.seek(place)

    def tell(self) -> int:
        return self._file.tell()


def _broken(archive: Path) -> InvalidAlgorithm:
    return InvalidAlgorithm(f"{archive} is no whole .zip or .tar.gz archive; pack it again.")


def _too_much(archive: Path) -> InvalidAlgorithm:
    return InvalidAlgorithm(f"{archive} holds more than an algorithm may have; pack less.")


def _no_plain_file(archive: Path) -> InvalidAlgorithm:
    return InvalidAlgorithm(f"{archive} holds a link or a device; pack plain files only.")
