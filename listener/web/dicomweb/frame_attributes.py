"""What the attributes of an instance say of one frame, for whoever decodes it; no pixel is read here."""

import struct
from collections.abc import Iterator

from pydicom.dataset import Dataset

from listener.errors import ListenerError
from listener.web.dicomweb.dicom_file import MALFORMED_VALUE, DicomFile, UnreadableFile
from listener.web.pictures.codecs import NATIVE, RENDERED_SYNTAXES
from listener.web.pictures.frame_description import PIXEL_LIMIT, FrameDescription, Table, Window

_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_INTEGER_PIXELS = 0x7FE00010


class NotRendered(ListenerError):
    """No picture is made of pixels in this transfer syntax or kind; retrieve the frame or the instance as stored."""


def frame_description(file: DicomFile, number: int) -> FrameDescription:
    """One frame; the first is number 1.

    Raises:
        NotRendered: we make no pictures of such pixels.
        UnreadableFile: the attributes are missing or impossible, or there are too many pixels.
    """
    if file.transfer_syntax_uid not in RENDERED_SYNTAXES or file.pixels is None or file.pixels.tag != _INTEGER_PIXELS:
        raise NotRendered
    try:
        frame = _described(file, number)
    except MALFORMED_VALUE as error:
        raise UnreadableFile from error
    _require_possible(frame)
    return frame


def representative_frame(file: DicomFile, count: int) -> int:
    """The frame that stands for all of them: Representative Frame Number (PS3.3 section C.7.6.6), else the first.

    Raises:
        UnreadableFile: it cannot be read.
    """
    try:
        told = file.data_set.get("RepresentativeFrameNumber")
        return told if isinstance(told, int) and 1 <= told <= count else 1
    except MALFORMED_VALUE as error:
        raise UnreadableFile from error


def _described(file: DicomFile, number: int) -> FrameDescription:
    data_set = file.data_set
    samples, photometric = int(data_set.get("SamplesPerPixel") or 1), str(data_set.PhotometricInterpretation)
    if photometric not in (_GREY if samples == 1 else _COLOUR):
        raise NotRendered
    bits = int(data_set.BitsAllocated)
    stored = int(data_set.get("BitsStored") or bits)
    high = data_set.get("HighBit")
    scale = _with(data_set, number, "PixelValueTransformationSequence", "RescaleSlope")
    voi = _with(data_set, number, "FrameVOILUTSequence", "WindowCenter")
    return FrameDescription(
        transfer_syntax_uid=file.transfer_syntax_uid,
        rows=int(data_set.Rows),
        columns=int(data_set.Columns),
        samples=samples,
        bits_allocated=bits,
        bits_stored=stored,
        high_bit=stored - 1 if high is None else int(high),
        signed=bool(data_set.get("PixelRepresentation")),
        photometric=photometric,
        planar=int(data_set.get("PlanarConfiguration") or 0),
        slope=float(scale.get("RescaleSlope") or 1),
        intercept=float(scale.get("RescaleIntercept") or 0),
        modality_table=_first_table(data_set, "ModalityLUTSequence"),
        window=_window(voi),
        table=_first_table(data_set, "VOILUTSequence"),
        padding=_integer(data_set, "PixelPaddingValue"),
        palette=tuple(_palette(data_set)) if photometric == "PALETTE COLOR" else (),
    )


def _require_possible(frame: FrameDescription) -> None:
    """Nothing that is impossible or too large is given to a decoder.

    Raises:
        UnreadableFile, NotRendered: as told above.
    """
    if not 0 < frame.pixels <= PIXEL_LIMIT or min(frame.rows, frame.columns) < 1:
        raise UnreadableFile
    bits = (8, 16) if frame.samples == 3 or frame.photometric == "PALETTE COLOR" else (1, 8, 16, 32)
    if frame.bits_allocated not in bits or (frame.transfer_syntax_uid not in NATIVE and frame.bits_allocated == 1):
        raise NotRendered
    if not 0 < frame.bits_stored <= frame.high_bit + 1 <= frame.bits_allocated:
        raise UnreadableFile
    # Native pixels that share their chrominance come in pairs; in a JPEG the blocks are filled up (PS3.3 C.7.6.3.1.2).
    in_half = frame.transfer_syntax_uid in NATIVE and frame.columns % 2 == 1
    if frame.photometric == "YBR_FULL_422" and (in_half or frame.bits_allocated != 8):
        raise UnreadableFile


def _with(data_set: Dataset, number: int, macro: str, keyword: str) -> Dataset:
    """Where an attribute stands: among those of this frame, of all frames, or of the instance (PS3.3 C.7.6.16)."""
    for groups, index in (("PerFrameFunctionalGroupsSequence", number - 1), ("SharedFunctionalGroupsSequence", 0)):
        sequence = data_set.get(groups)
        if sequence and index < len(sequence) and sequence[index].get(macro):
            found: Dataset = sequence[index][macro].value[0]
            if keyword in found:
                return found
    return data_set


def _window(voi: Dataset) -> Window | None:
    center, width = _first(voi.get("WindowCenter")), _first(voi.get("WindowWidth"))
    if center is None or width is None or float(width) <= 0:
        return None
    function = str(voi.get("VOILUTFunction") or "LINEAR")
    return Window(float(center), float(width), function if function in ("LINEAR_EXACT", "SIGMOID") else "LINEAR")


def _first_table(data_set: Dataset, keyword: str) -> Table | None:
    sequence = data_set.get(keyword)
    if not sequence:
        return None
    return _table(sequence[0].LUTDescriptor, sequence[0].LUTData)


def _palette(data_set: Dataset) -> Iterator[Table]:
    for colour in ("Red", "Green", "Blue"):
        content = data_set.get(f"{colour}PaletteColorLookupTableData")
        if not content:
            raise NotRendered  # segmented, or elsewhere
        yield _table(data_set[f"{colour}PaletteColorLookupTableDescriptor"].value, content)


def _table(descriptor: list[int], content: bytes | list[int] | int) -> Table:
    count, first, bits = (int(each) for each in descriptor)
    count = count or 65536
    if isinstance(content, bytes):
        wide = len(content) >= 2 * count
        entries = struct.unpack_from(f"<{count}{'H' if wide else 'B'}", content)
    else:
        entries = tuple(int(each) & 0xFFFF for each in (content if not isinstance(content, int) else [content]))
    if not 0 < len(entries) <= 65536 or not 0 < bits <= 16:
        raise UnreadableFile
    return Table(first, bits, tuple(entries))


def _integer(data_set: Dataset, keyword: str) -> int | None:
    value = data_set.get(keyword)
    return int(value) if isinstance(value, int) else None


def _first(value: object) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str | int | float):
        return float(value)
    return float(value[0])  # type: ignore[index]
