"""What an instance says of its image, read once when it is imported, so that nobody has to look for it again."""

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from storage.domain.element_walk import Encoding, values_before_pixels
from storage.errors import UnreadableDataSet

_HEADS = (64 * 1024, 1024 * 1024)  # bytes in which the Pixel Data element is looked for: most are in the first

# The transfer syntaxes whose pixel data is not encapsulated (PS3.5 annex A); deflated ones have to be inflated first.
_NATIVE: dict[str, Encoding] = {
    "1.2.840.10008.1.2": Encoding(implicit_vr=True),
    "1.2.840.10008.1.2.1": Encoding(implicit_vr=False),
    "1.2.840.10008.1.2.2": Encoding(implicit_vr=False, big_endian=True),
}
_DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
_ENCAPSULATED = Encoding(implicit_vr=False)

_FRAMES = 0x00280008
_PHOTOMETRIC = 0x00280004
_POSITION, _ORIENTATION, _SPACING = 0x00200032, 0x00200037, 0x00280030
_INTERCEPT, _SLOPE = 0x00281052, 0x00281053
_SAMPLES, _ROWS, _COLUMNS = 0x00280002, 0x00280010, 0x00280011
_ALLOCATED, _STORED, _HIGH_BIT, _REPRESENTATION = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_WANTED = frozenset(
    {_FRAMES, _PHOTOMETRIC, _POSITION, _ORIENTATION, _SPACING, _INTERCEPT, _SLOPE}
    | {_SAMPLES, _ROWS, _COLUMNS, _ALLOCATED, _STORED, _HIGH_BIT, _REPRESENTATION}
)


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """The Image Pixel and Image Plane Modules (PS3.3 sections C.7.6.3, C.7.6.2), and where the pixels lie.

    Offsets count bytes of the data set as received. ``head_length`` bytes stand before the Pixel Data element, and
    ``head_sha256`` is theirs, so that a header can be believed without its pixels being read. ``pixel_offset`` and
    ``pixel_length`` are those of the value of native Pixel Data, ``None`` where it is encapsulated. Positions and
    spacings are in mm, LPS; ``None`` stands for what an instance does not state, or not as numbers.
    """

    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    number_of_frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    image_position_patient: tuple[float, ...] | None
    image_orientation_patient: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    rescale_intercept: float | None
    rescale_slope: float | None
    head_length: int
    head_sha256: str
    pixel_offset: int | None
    pixel_length: int | None


def image_record(data_set: memoryview | bytes, transfer_syntax_uid: str) -> ImageRecord | None:
    """What a data set, or its first mebibyte, says of its image; ``None`` when that is no image or cannot be told.

    Never raises on what a peer sent: a reader of the whole instance finds out what is wrong with it.
    """
    if transfer_syntax_uid in _DEFLATED:
        return None
    native = _NATIVE.get(transfer_syntax_uid)
    for size in _HEADS:
        head = bytes(data_set[:size])
        try:
            values, place = values_before_pixels(head, native or _ENCAPSULATED, _WANTED)
        except UnreadableDataSet:
            if len(head) < size:
                return None
            continue
        if place is None or (place.length is None) != (native is None):
            return None
        order = ">" if native is not None and native.big_endian else "<"
        try:
            return _record(values, order, head[: place.start], place.value if native else None, place.length)
        except (struct.error, ValueError, OverflowError):
            return None
    return None


def _record(
    values: Mapping[int, bytes], order: str, head: bytes, offset: int | None, length: int | None
) -> ImageRecord | None:
    def number(tag: int, absent: int | None = None) -> int:
        raw = values.get(tag)
        if raw is None and absent is not None:
            return absent
        (value,) = struct.unpack(f"{order}H", raw or b"")
        return int(value)

    frames = values.get(_FRAMES, b"").strip(b" \0")
    return ImageRecord(
        rows=number(_ROWS),
        columns=number(_COLUMNS),
        samples_per_pixel=number(_SAMPLES, 1),
        photometric_interpretation=values.get(_PHOTOMETRIC, b"")[:16].decode("ascii").strip(" \0"),
        number_of_frames=int(frames[:12]) if frames else 1,
        bits_allocated=number(_ALLOCATED),
        bits_stored=number(_STORED),
        high_bit=number(_HIGH_BIT),
        pixel_representation=number(_REPRESENTATION),
        image_position_patient=_numbers(values.get(_POSITION), 3),
        image_orientation_patient=_numbers(values.get(_ORIENTATION), 6),
        pixel_spacing=_numbers(values.get(_SPACING), 2),
        rescale_intercept=next(iter(_numbers(values.get(_INTERCEPT), 1) or ()), None),
        rescale_slope=next(iter(_numbers(values.get(_SLOPE), 1) or ()), None),
        head_length=len(head),
        head_sha256=hashlib.sha256(head).hexdigest(),
        pixel_offset=offset,
        pixel_length=length,
    )


def _numbers(raw: bytes | None, count: int) -> tuple[float, ...] | None:
    """A decimal string of so many finite values (PS3.5 section 6.2, DS)."""
    parts = (raw or b"").strip(b" \0").split(b"\\")
    if len(parts) != count:
        return None
    try:
        found = tuple(float(part) for part in parts)
    except ValueError:
        return None
    return found if all(map(math.isfinite, found)) else None
