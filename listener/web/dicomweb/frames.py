"""Single frames of a stored instance, without decoding any (PS3.18 section 10.4.1.1.3).

Native frames are cut out of the file. Frames of one bit per pixel do not begin at a byte (PS3.5 section 8.1.1), so
each is packed anew. Encapsulated frames are given as they are stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.encaps import get_frame

from listener.web.dicomweb.dicom_file import (
    MALFORMED,
    MALFORMED_VALUE,
    NATIVE_LITTLE,
    DicomFile,
    PixelElement,
    UnreadableFile,
)

OCTETS = "application/octet-stream"
FRAME_LIMIT = 512 * 2**20  # bytes of an encoded frame

# PS3.18 table 8.7.3-2 and 8.7.3-5: what a frame is when it is taken out of its capsule.
_MEDIA_TYPES: dict[str, str] = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    **{f"1.2.840.10008.1.2.4.{number}": "image/jpeg" for number in (50, 51, 57, 70)},
    **{f"1.2.840.10008.1.2.4.{number}": "image/jls" for number in (80, 81)},
    **{f"1.2.840.10008.1.2.4.{number}": "image/jp2" for number in (90, 91)},
    **{f"1.2.840.10008.1.2.4.{number}": "image/jpx" for number in (92, 93)},
    **{f"1.2.840.10008.1.2.4.{number}": "image/jphc" for number in (201, 202, 203)},
    **{f"1.2.840.10008.1.2.4.{number}": "image/jxl" for number in (110, 111, 112)},
    **{f"1.2.840.10008.1.2.4.{number}": "video/mpeg" for number in (100, 101)},
    **{f"1.2.840.10008.1.2.4.{number}": "video/mp4" for number in (102, 103, 104, 105, 106, 107, 108)},
}


@dataclass(frozen=True, slots=True)
class FrameSource:
    """The frames of one instance; ``media_type`` is what each is as stored."""

    path: Path
    count: int
    media_type: str
    transfer_syntax_uid: str
    offset: int
    frame_bits: int  # of a native frame; 0 where frames are encapsulated
    extended_offsets: tuple[bytes, bytes] | None = None

    @property
    def native(self) -> bool:
        """Whether the frames are plain pixels."""
        return self.frame_bits > 0

    def frame(self, number: int) -> bytes:
        """One frame; the first is number 1.

        Raises:
            UnreadableFile: it is not there.
            OSError: the file cannot be read.
        """
        with self.path.open("rb") as file:
            if not self.native:
                file.seek(self.offset)
                try:
                    return get_frame(
                        _Sparing(file), number - 1, number_of_frames=self.count, extended_offsets=self.extended_offsets
                    )
                except MALFORMED as error:
                    raise UnreadableFile from error
            first_bit = (number - 1) * self.frame_bits
            start, shift = divmod(first_bit, 8)
            size = (shift + self.frame_bits + 7) // 8
            file.seek(self.offset + start)
            content = file.read(size)
        if len(content) != size:
            raise UnreadableFile
        return content if self.frame_bits % 8 == 0 else _repacked(content, shift, self.frame_bits)

    def frames(self, numbers: list[int]) -> Iterator[bytes]:
        """Several frames, one in memory at a time."""
        return (self.frame(number) for number in numbers)


class _Sparing:
    """A file of which only so much is read into memory: one frame, and the heads of the fragments before it."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek = file.seek
        self.tell = file.tell
        self._read = file.read
        self._left = FRAME_LIMIT

    def read(self, size: int = -1, /) -> bytes:
        """Raises ValueError: it would be more."""
        if not 0 <= size <= self._left:
            raise ValueError
        self._left -= size
        return self._read(size)


def frame_source(path: Path, file: DicomFile) -> FrameSource | None:
    """Where the frames of an instance are; ``None`` when it has no pixels that we can cut into frames.

    Raises:
        UnreadableFile: the attributes of its pixels are missing or contradict the bytes.
    """
    if file.pixels is None:
        return None
    try:
        return _frame_source(path, file, file.pixels)
    except MALFORMED_VALUE as error:
        raise UnreadableFile from error


def _frame_source(path: Path, file: DicomFile, pixels: PixelElement) -> FrameSource | None:
    data_set = file.data_set
    count = int(data_set.get("NumberOfFrames") or 1)
    rows, columns, bits = int(data_set.Rows), int(data_set.Columns), int(data_set.BitsAllocated)
    samples = int(data_set.get("SamplesPerPixel") or 1)
    if min(count, rows, columns, bits, samples) < 1:
        raise UnreadableFile
    if pixels.length is None:
        return FrameSource(
            path,
            count,
            _MEDIA_TYPES.get(file.transfer_syntax_uid, OCTETS),
            file.transfer_syntax_uid,
            pixels.offset,
            0,
            _extended_offsets(file),
        )
    if file.transfer_syntax_uid not in NATIVE_LITTLE:
        return None
    if data_set.get("PhotometricInterpretation") == "YBR_FULL_422" and samples == 3:
        samples = 2  # two chrominance values for two pixels (PS3.3 section C.7.6.3.1.2)
    frame_bits = rows * columns * samples * bits
    if count * frame_bits > pixels.length * 8:
        raise UnreadableFile
    return FrameSource(path, count, OCTETS, file.transfer_syntax_uid, pixels.offset, frame_bits)


def _extended_offsets(file: DicomFile) -> tuple[bytes, bytes] | None:
    offsets = file.data_set.get("ExtendedOffsetTable")
    lengths = file.data_set.get("ExtendedOffsetTableLengths")
    return (bytes(offsets), bytes(lengths)) if offsets and lengths else None


def _repacked(content: bytes, shift: int, bits: int) -> bytes:
    """The bits of one frame from its own first byte on; the first pixel is the lowest bit."""
    pixels = (int.from_bytes(content, "little") >> shift) & ((1 << bits) - 1)
    return pixels.to_bytes((bits + 7) // 8, "little")
