"""Synthetic instances of the sizes that hospitals send, made from a number so that a run can be repeated.

They are written byte by byte here, explicit VR little endian, so that they share no code with what reads them.
"""

import hashlib
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_UID_ROOT = "2.25"
_UID_DIGITS = 38  # all of one length, so that a file can be given another UID in place
_LONG_VRS = frozenset({"OB", "OW", "UT"})
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of image: its SOP Class and how large it is."""

    name: str
    sop_class_uid: str
    modality: str
    rows: int
    columns: int
    frames: int = 1

    @property
    def pixel_bytes(self) -> int:
        """The length of its PixelData."""
        return self.rows * self.columns * self.frames * 2


CT = Kind("CT", "1.2.840.10008.5.1.4.1.1.2", "CT", 512, 512)
MR = Kind("MR", "1.2.840.10008.5.1.4.1.1.4", "MR", 128, 128)
CR = Kind("CR", "1.2.840.10008.5.1.4.1.1.1", "CR", 1024, 1024)
DX = Kind("DX", "1.2.840.10008.5.1.4.1.1.1.1", "DX", 3000, 3000)
HUGE = Kind("2 GB", "1.2.840.10008.5.1.4.1.1.2.1", "CT", 1024, 1024, 1000)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance: everything before the pixels, and the pixels as one block that is repeated."""

    kind: Kind
    study_instance_uid: str
    sop_instance_uid: str
    head: bytes
    block: bytes

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The data set in order."""
        yield self.head
        left = self.kind.pixel_bytes
        while left > 0:
            yield memoryview(self.block)[: min(left, len(self.block))]
            left -= len(self.block)

    @property
    def size(self) -> int:
        """How long the data set is."""
        return len(self.head) + self.kind.pixel_bytes

    def sha256(self) -> str:
        """The digest of the data set."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Write it as a file in the DICOM File Format."""
        meta = b"".join(
            (
                _element(0x0002, 0x0001, "OB", b"\x00\x01"),
                _element(0x0002, 0x0002, "UI", self.kind.sop_class_uid.encode()),
                _element(0x0002, 0x0003, "UI", self.sop_instance_uid.encode()),
                _element(0x0002, 0x0010, "UI", EXPLICIT_VR_LITTLE_ENDIAN.encode()),
                _element(0x0002, 0x0012, "UI", b"2.25.1"),
            )
        )
        with path.open("wb") as file:
            file.write(bytes(128) + b"DICM" + _element(0x0002, 0x0000, "UL", struct.pack("<L", len(meta))) + meta)
            for piece in self.pieces():
                file.write(piece)


def make_instance(kind: Kind, source: random.Random, study_instance_uid: str, number: int, noise: int = 0) -> Instance:
    """An instance with a UID of its own; ``noise`` chooses among pixel blocks, so that digests differ in the pixels."""
    uid = new_uid(source)
    elements = [
        _element(0x0008, 0x0016, "UI", kind.sop_class_uid.encode()),
        _element(0x0008, 0x0018, "UI", uid.encode()),
        _element(0x0008, 0x0060, "CS", kind.modality.encode()),
        _element(0x0010, 0x0010, "PN", b"Torture^Bench"),
        _element(0x0010, 0x0020, "LO", b"TORTURE"),
        _element(0x0020, 0x000D, "UI", study_instance_uid.encode()),
        _element(0x0020, 0x000E, "UI", f"{study_instance_uid}.1".encode()),
        _element(0x0020, 0x0013, "IS", str(number).encode()),
        _element(0x0028, 0x0002, "US", struct.pack("<H", 1)),
        _element(0x0028, 0x0004, "CS", b"MONOCHROME2"),
        *([_element(0x0028, 0x0008, "IS", str(kind.frames).encode())] if kind.frames > 1 else []),
        _element(0x0028, 0x0010, "US", struct.pack("<H", kind.rows)),
        _element(0x0028, 0x0011, "US", struct.pack("<H", kind.columns)),
        _element(0x0028, 0x0100, "US", struct.pack("<H", 16)),
        _element(0x0028, 0x0101, "US", struct.pack("<H", 12)),
        _element(0x0028, 0x0102, "US", struct.pack("<H", 11)),
        _element(0x0028, 0x0103, "US", struct.pack("<H", 0)),
        struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, kind.pixel_bytes),
    ]
    block = _noise(noise)
    return Instance(kind, study_instance_uid, uid, b"".join(elements), block)


def new_uid(source: random.Random) -> str:
    """A UID under 2.25, always of the same length."""
    low = 10 ** (_UID_DIGITS - 1)
    return f"{_UID_ROOT}.{source.randrange(low, 3 * low)}"  # below 2 to the 128th


@cache
def _noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(_BLOCK)  # noqa: S311 - pixels, not a secret


def _element(group: int, number: int, vr: str, value: bytes) -> bytes:
    value += (b"\x00" if vr in ("UI", "OB") else b" ") * (len(value) % 2)
    length = struct.pack("<HL", 0, len(value)) if vr in _LONG_VRS else struct.pack("<H", len(value))
    return struct.pack("<HH", group, number) + vr.encode() + length + value
