"""Builds a folder again as a power cut would have left it, from what ``shim.c`` wrote down.

The model is stricter than any file system: a file's bytes survive only if the file was synced after they were
written, a name only if its folder was synced after it was made, whatever else the kernel would have written by
itself. With ``luck``, what was not synced survives or not by chance, and a write may be torn at a sector.
"""

import mmap
import os
import random
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

_HEADER = struct.Struct("=IIQQQII")
_SECTOR = 512
_VARYING = re.compile(r"(?<![^/])[0-9a-f]{2}(?![^/])|[0-9a-f]{8,}|[0-9]+")  # digests, their folders, counters


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the record: where it stands, what was done to what."""

    position: int
    op: str
    inode: int
    offset: int
    path: str
    path2: str
    data: memoryview


def read_records(path: Path) -> Iterator[Record]:
    """Every whole record; the last one may have been cut off by the kill."""
    if path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    position = 0
    while position + _HEADER.size <= len(view):
        length, op, inode, offset, data_length, first, second = _HEADER.unpack_from(view, position)
        if position + length > len(view):
            return
        start = position + _HEADER.size
        names = bytes(view[start : start + first + second])
        data = view[position + length - data_length : position + length]
        yield Record(position, chr(op), inode, offset, names[:first].decode(), names[first:].decode(), data)
        position += length


@dataclass
class FileOnDisk:
    """One inode: the changes of its bytes in order, up to where they were synced, and which a failed sync lost."""

    changes: list[Record] = field(default_factory=list)
    link: str = ""  # where it leads, when it is a symbolic link
    mapped: str = ""  # its name, when it was written to through a shared mapping
    synced_to: int = 0
    lost: set[int] = field(default_factory=set)

    def content(self, luck: random.Random | None) -> bytes:
        """The bytes that survive."""
        result = bytearray()
        for change in self.changes:
            if change.position in self.lost:
                continue
            data: bytes | memoryview = change.data
            if change.position >= self.synced_to:
                if luck is None or luck.random() < 0.5:
                    continue
                if change.op == "W" and luck.random() < 0.5:
                    data = data[: luck.randrange(len(data) // _SECTOR + 1) * _SECTOR]
            if change.op == "T":
                del result[change.offset :]
                result += bytes(change.offset - len(result))
            elif change.op == "F":
                result += bytes(max(change.offset - len(result), 0))
            else:
                result += bytes(max(change.offset - len(result), 0))
                result[change.offset : change.offset + len(data)] = data
        return bytes(result)


@dataclass
class _NameChange:
    """One change of names, which counts once a folder that it touches was synced."""

    position: int
    removed: str
    added: str
    node: "FileOnDisk | None"  # ``None``: a folder

    def folders(self) -> set[str]:
        """The folders whose sync makes it durable."""
        return {str(PurePosixPath(path).parent) for path in (self.removed, self.added) if path}


class Disk:
    """The folder as it was on the disk at the end of a record; syncs named as ``forgets`` are taken as not made."""

    def __init__(self, record: Path, forgets: str = "") -> None:
        self.syncs: dict[str, int] = defaultdict(int)
        self._forgets = forgets
        self._nodes: dict[int, FileOnDisk] = {}
        self._pending: list[_NameChange] = []
        self._names: dict[str, FileOnDisk | None] = {}
        self._folders: set[str] = set()
        for change in read_records(record):
            self.apply(change)

    def is_named(self, node: FileOnDisk) -> bool:
        """Whether a name of the file would survive now."""
        return any(one is node for one in self._names.values())

    def rebuild(self, folder: Path, luck: random.Random | None = None, before: Path | None = None) -> None:
        """Write what survives into an empty folder; ``before`` is the folder as it was when the power went."""
        names = dict(self._names)
        if luck is not None:
            for change in self._pending:
                if luck.random() < 0.5:
                    _apply_names(names, change)
        for path, node in sorted(names.items()):
            parents = [str(parent) for parent in PurePosixPath(path).parents][:-1]
            if any(names.get(parent, self) is not None for parent in parents):
                continue  # the folder it lay in is gone
            target = folder / path
            if node is None:
                target.mkdir(mode=0o700, parents=True, exist_ok=True)
            elif node.link:
                target.symlink_to(node.link)
            else:
                target.write_bytes(_mapped(node, luck, before) or node.content(luck))
                target.chmod(0o600)
        _link_same(folder, names)

    def apply(self, change: Record) -> None:
        """Take up one more record."""
        if change.op in "CND":
            node = None if change.op == "D" else FileOnDisk()
            if node is not None:
                self._nodes[change.inode] = node
            else:
                self._folders.add(change.path)
            if change.op != "N":
                self._pending.append(_NameChange(change.position, "", change.path, node))
        elif change.op == "Y":
            self._pending.append(_NameChange(change.position, "", change.path, FileOnDisk(link=change.path2)))
        elif change.op == "M":
            self.node(change.inode).mapped = change.path
        elif change.op in "WTF":
            self.node(change.inode).changes.append(change)
        elif change.op == "L":
            self._pending.append(_NameChange(change.position, "", change.path, self.node(change.inode)))
        elif change.op == "R":
            node = None if change.path in self._folders else self.node(change.inode)
            self._pending.append(_NameChange(change.position, change.path, change.path2, node))
        elif change.op == "U":
            self._pending.append(_NameChange(change.position, change.path, "", None))
        elif change.op == "E":
            node = self._nodes.get(change.inode)
            if node is not None:
                node.lost |= {one.position for one in node.changes if one.position >= node.synced_to}
        elif change.op in "Ss":
            self._sync(change)

    def _sync(self, change: Record) -> None:
        folder = change.path in self._folders or change.path == ""
        call = "fsync" if change.op == "S" else "fdatasync"
        name = f"{call} of {_place(change.path) or 'the parent of the data folder'}"
        self.syncs[name] += 1
        if name == self._forgets:
            return
        if not folder:
            node = self.node(change.inode)
            node.synced_to = max(node.synced_to, change.offset)
            return
        here = change.path or "."
        waiting = []
        for pending in self._pending:
            if here in pending.folders() and pending.position < change.offset:
                _apply_names(self._names, pending)
            else:
                waiting.append(pending)
        self._pending = waiting

    def node(self, inode: int) -> FileOnDisk:
        """The file that has this inode now."""
        return self._nodes.setdefault(inode, FileOnDisk())


def _mapped(node: FileOnDisk, luck: random.Random | None, before: Path | None) -> bytes | None:
    """By chance, what a mapping had put into the file: the kernel may have written it, although nobody asked."""
    if luck is None or before is None or not node.mapped or luck.random() < 0.5:
        return None
    path = before / node.mapped
    return path.read_bytes() if path.is_file() else None


def _apply_names(names: "dict[str, FileOnDisk | None]", change: _NameChange) -> None:
    if change.removed:
        names.pop(change.removed, None)
    if change.added:
        names[change.added] = change.node


def _link_same(folder: Path, names: "dict[str, FileOnDisk | None]") -> None:
    """Names of one file are names of one file again."""
    first: dict[int, Path] = {}
    for path, node in sorted(names.items()):
        target = folder / path
        if node is None or node.link or not target.is_file():
            continue
        known = first.setdefault(id(node), target)
        if known is not target:
            target.unlink()
            os.link(known, target)


def _place(path: str) -> str:
    """The path with what differs from instance to instance taken out."""
    return _VARYING.sub("*", path.removesuffix(" (deleted)"))
