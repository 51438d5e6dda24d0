"""Reading an object that anybody may have sent: its attributes within bounds, its pixels only if they are plain."""

from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from listener.errors import ListenerError

MOST_ATTRIBUTE_BYTES = 8 * 2**20  # a report of ours has some 10 KiB, a segmentation of 1000 frames about 1 MiB
MOST_PIXEL_BYTES = 64 * 2**20
MOST_ITEMS = 100_000  # of all sequences; each is a data set in memory, a hundred times as large as the 8 bytes it takes

_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # in little and in big endian
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_UNDEFINED = 0xFFFFFFFF
_ELEMENT_HEAD = 8  # bytes that are asked for where the next element may begin


class ObjectTooLarge(ListenerError):
    """The object is larger than what is read of one."""


class NotPlain(ListenerError):
    """The object is compressed or has another byte order, so it is not read for this."""


class CutOff(ListenerError):
    """The object ends before it should."""


class _Bounded:
    """A file of which no more than a beginning is read, however it is asked for."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        """Raises ObjectTooLarge beyond the limit, CutOff within an element.

        What is cut off would else look as if somebody had taken it out.
        """
        if size < 0:  # all of it: as pydicom asks before it inflates
            raise NotPlain
        if self._file.tell() + size > self._limit:
            raise ObjectTooLarge
        got = self._file.read(size)
        if len(got) < size and (got or size != _ELEMENT_HEAD):
            raise CutOff
        return got

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of a file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of a file."""
        return self._file.tell()


def read_attributes(path: Path) -> Dataset:
    """Everything before the pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ListenerError: it is too large, deflated or cut off.
        Exception: anything else that pydicom makes of bytes that are no DICOM.
    """
    with path.open("rb") as file:
        return _attributes(file)


def read_with_pixels(path: Path) -> tuple[Dataset, bytes]:
    """Everything before the pixels, and the value of Pixel Data as it is stored.

    Raises:
        NotPlain: the pixels are compressed, or not in little endian.
        Exception: as ``read_attributes``.
    """
    with path.open("rb") as file:
        data_set = _attributes(file)
        explicit = data_set.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        if not explicit and data_set.file_meta.TransferSyntaxUID != ImplicitVRLittleEndian:
            raise NotPlain
        head = file.read(12 if explicit else 8)
        length = int.from_bytes(head[-4:], "little")
        if head[:4] != _PIXEL_DATA or length == _UNDEFINED:
            raise NotPlain
        if length > MOST_PIXEL_BYTES:
            raise ObjectTooLarge
        return data_set, file.read(length)


def _attributes(file: BinaryIO) -> Dataset:
    """Counted before they are read: the toolkit makes all items of a sequence at once."""
    beginning = file.read(MOST_ATTRIBUTE_BYTES)
    if sum(beginning.count(tag) for tag in _ITEM_TAGS) > MOST_ITEMS:
        raise ObjectTooLarge
    file.seek(0)
    return dcmread(_Bounded(file, MOST_ATTRIBUTE_BYTES), stop_before_pixels=True)
