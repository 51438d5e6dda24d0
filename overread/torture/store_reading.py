"""Reads what is stored without the code that stored it: whatever lies under ``objects`` is looked at, byte by byte."""

import hashlib
import struct
from dataclasses import dataclass, field
from pathlib import Path

_PREAMBLE = 128
_META_LIMIT = 1 << 16
_CHUNK = 1 << 20


@dataclass
class StoredFiles:
    """What the files say: the digests of each UID's files, and the files that are not whole."""

    digests: dict[str, list[str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def read_store(data_dir: Path, seen: set[Path] | None = None) -> StoredFiles:
    """Read every file of the object store; a file that another process removes meanwhile is passed over.

    Files in ``seen`` were read by an earlier call and are left out; those read now are added.
    """
    found = StoredFiles()
    for path in sorted((data_dir / "objects").rglob("*")):
        if path.is_dir() or (seen is not None and path in seen):
            continue
        if seen is not None:
            seen.add(path)
        try:
            uid, sha256 = _identity(path)
        except FileNotFoundError:
            continue
        except ValueError:
            found.broken.append(str(path.relative_to(data_dir)))
        else:
            found.digests.setdefault(uid, []).append(sha256)
    return found


def _identity(path: Path) -> tuple[str, str]:
    """SOP Instance UID and SHA-256 of the data set of a file in the DICOM File Format (PS3.10 section 7.1)."""
    with path.open("rb") as file:
        head = file.read(_PREAMBLE + 4 + 12)
        if len(head) < _PREAMBLE + 16 or head[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
            raise ValueError("no DICM")
        group, number, vr, _, length = struct.unpack("<HH2sHL", head[_PREAMBLE + 4 :])
        if (group, number, vr) != (2, 0, b"UL") or length > _META_LIMIT:
            raise ValueError("no group length")
        uid = _media_storage_uid(file.read(length))
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return uid, digest.hexdigest()


def _media_storage_uid(meta: bytes) -> str:
    position = 0
    while position + 8 <= len(meta):
        group, number, vr, length = struct.unpack_from("<HH2sH", meta, position)
        position += 8
        if vr in (b"OB", b"OW", b"UN", b"UT", b"SQ"):
            (length,) = struct.unpack_from("<L", meta, position)
            position += 4
        if (group, number) == (2, 3):
            return meta[position : position + length].rstrip(b"\0 ").decode("ascii")
        position += length
    raise ValueError("no Media Storage SOP Instance UID")
