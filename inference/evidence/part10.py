"""An object as a file (PS3.10 section 7), in pieces where its frames are made while it is written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

from highdicom.base import SOPClass
from pydicom import dcmwrite
from pydicom.charset import default_encoding
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from inference.evidence.context import service_version

IMPLEMENTATION_CLASS_UID = UID("2.25.138914520719438570184264171358247313881")


class Frames(Protocol):
    """The end of an object whose frames are made while it is written, in Explicit VR Little Endian."""

    def functional_groups(self) -> Iterator[bytes]:
        """The Per-frame Functional Groups Sequence (5200,9230), in pieces; nothing where the object has it."""

    def pixel_data(self) -> Iterator[bytes]:
        """The element with the pixels, in pieces."""


@dataclass(frozen=True, slots=True, eq=False)
class FileWithFrames:
    """A Part 10 file in Explicit VR Little Endian whose frames are made while it is read."""

    before: bytes
    frames: Frames

    def __iter__(self) -> Iterator[bytes]:
        """The file in pieces."""
        yield self.before
        yield from self.frames.functional_groups()
        yield from self.frames.pixel_data()


def part10(sop: SOPClass, encoded: Mapping[BaseTag, bytes]) -> bytes:
    """The file of an object, with elements at their places that it does not have itself.

    ``encoded`` are such elements in Explicit VR Little Endian, each behind the object's SOP Instance UID (0008,0018);
    pydicom takes 0.1 ms for each item of a sequence, and there are sequences with an item for each image.
    """
    sop.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    sop.file_meta.ImplementationVersionName = f"OVERREAD {service_version()}"[:16]
    if not encoded:
        return _file(sop)
    pieces: list[bytes] = []
    elements = list(sop)  # read from the object, which knows in which character set they came
    for tag, element in sorted(encoded.items()):
        before = [one for one in elements if one.tag < tag]
        elements = elements[len(before) :]
        pieces += [_written(sop, before) if pieces else _beginning(sop, before), element]
    return b"".join([*pieces, _written(sop, elements)])


def _beginning(sop: SOPClass, elements: Sequence[DataElement]) -> bytes:
    part = _part(elements)
    part.file_meta = sop.file_meta
    return _file(part)


def _file(data_set: Dataset) -> bytes:
    buffer = BytesIO()
    dcmwrite(buffer, data_set, enforce_file_format=True)
    return buffer.getvalue()


def _written(sop: SOPClass, elements: Sequence[DataElement]) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, _part(elements), sop.get("SpecificCharacterSet", default_encoding))
    return buffer.getvalue()


def _part(elements: Sequence[DataElement]) -> Dataset:
    return Dataset({element.tag: element for element in elements})
