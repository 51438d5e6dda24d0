"""From the encoded bytes of a frame to samples, for the encodings that we render; runs in the child only."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, Jpeg2KImagePlugin, JpegImagePlugin  # noqa: F401 - importing them makes Pillow know them

from listener.web.pictures.frame_description import FrameDescription

NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"})
_RLE = "1.2.840.10008.1.2.5"
_JPEG = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
_JPEG_2000 = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
RENDERED_SYNTAXES = NATIVE | {_RLE} | _JPEG | _JPEG_2000

_SIZ = b"\xff\x4f\xff\x51"  # the start of a JPEG 2000 codestream and of its first segment
_PRECISION_AT = 42


class Undecodable(Exception):
    """The bytes are not what the attributes say, or not in their format."""


@dataclass(frozen=True, slots=True)
class GreySamples:
    """One sample per pixel: little-endian numbers of this many bits, and what value each of them stands for."""

    content: bytes
    bits: int
    value: Callable[[int], int]


def grey_samples(frame: FrameDescription, content: bytes) -> GreySamples:
    """The samples of a frame in grey or palette colours.

    Raises:
        Undecodable: they cannot be had.
    """
    if frame.transfer_syntax_uid in _JPEG:
        return GreySamples(_opened(frame, content, "JPEG", ("L",)).tobytes(), 8, _reader(frame, 8))
    if frame.transfer_syntax_uid in _JPEG_2000:
        return _jpeg_2000_samples(frame, content)
    if frame.transfer_syntax_uid == _RLE:
        planes = _rle_planes(frame, content)
        width = frame.bits_allocated // 8
        mixed = bytearray(frame.pixels * width)
        for number, plane in enumerate(planes):  # the most significant byte comes first
            mixed[width - 1 - number :: width] = plane
        content = bytes(mixed)
    return GreySamples(_exactly(content, frame.pixels * frame.bits_allocated), frame.bits_allocated, _reader(frame))


def colour_picture(frame: FrameDescription, content: bytes) -> Image.Image:
    """A frame with three samples per pixel, as RGB.

    Raises:
        Undecodable: it cannot be had.
    """
    if frame.transfer_syntax_uid in _JPEG:
        return _opened(frame, content, "JPEG", ("RGB",))
    if frame.transfer_syntax_uid in _JPEG_2000:
        return _opened(frame, content, "JPEG2000", ("RGB",))
    if frame.transfer_syntax_uid == _RLE:
        width = frame.bits_allocated // 8
        bands = _rle_planes(frame, content)[::width]  # the most significant byte of each
    else:
        bands = _native_bands(frame, content)
    size = (frame.columns, frame.rows)
    mode = "YCbCr" if frame.photometric.startswith("YBR") else "RGB"
    return Image.merge(mode, [Image.frombytes("L", size, bytes(band)) for band in bands]).convert("RGB")


def _native_bands(frame: FrameDescription, content: bytes) -> list[bytes]:
    if frame.photometric == "YBR_FULL_422":  # two pixels share their chrominance (PS3.3 section C.7.6.3.1.2)
        content = _exactly(content, frame.pixels * 16)
        luminance, blue, red = bytearray(frame.pixels), bytearray(frame.pixels), bytearray(frame.pixels)
        luminance[0::2], luminance[1::2] = content[0::4], content[1::4]
        blue[0::2] = blue[1::2] = content[2::4]
        red[0::2] = red[1::2] = content[3::4]
        return [bytes(luminance), bytes(blue), bytes(red)]
    content = _exactly(content, frame.pixels * 3 * frame.bits_allocated)
    if frame.bits_allocated == 16:
        content = content[1::2]
    if frame.planar:
        return [content[band * frame.pixels : (band + 1) * frame.pixels] for band in range(3)]
    return [content[band::3] for band in range(3)]


def _opened(frame: FrameDescription, content: bytes, kind: str, modes: tuple[str, ...]) -> Image.Image:
    """A picture in a format of Pillow's; its size is compared before a pixel is decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large pictures; the size is compared below
        picture = Image.open(io.BytesIO(content), formats=(kind,))
    if picture.size != (frame.columns, frame.rows):
        raise Undecodable
    if kind == "JPEG" and frame.photometric == "RGB" and "adobe" not in picture.info:
        picture.draft("YCbCr", picture.size)  # Pillow would take it for YCbCr and convert it
        picture.load()
        return Image.merge("RGB", picture.split()) if len(picture.getbands()) == 3 else picture
    if picture.mode not in modes:
        raise Undecodable
    picture.load()
    return picture


def _jpeg_2000_samples(frame: FrameDescription, content: bytes) -> GreySamples:
    """Pillow gives what JPEG 2000 holds as unsigned numbers that fill 8 or 16 bits; this takes them back."""
    start = content.find(_SIZ)
    if start < 0 or len(content) <= start + _PRECISION_AT:
        raise Undecodable
    told = content[start + _PRECISION_AT]
    precision, signed = (told & 0x7F) + 1, told >> 7
    picture = _opened(frame, content, "JPEG2000", ("L", "I;16"))
    bits = 8 if picture.mode == "L" else 16
    shift, offset = max(bits - precision, 0), signed << (precision - 1)
    return GreySamples(picture.tobytes(), bits, lambda number: (number >> shift) - offset)


def _reader(frame: FrameDescription, bits: int = 0) -> Callable[[int], int]:
    """What the bits of a sample stand for (PS3.5 section 8.1.1)."""
    shift = 0 if bits else frame.high_bit + 1 - frame.bits_stored
    stored = min(frame.bits_stored, bits or frame.bits_stored)
    mask, sign = (1 << stored) - 1, 1 << (stored - 1)

    def value(number: int) -> int:
        number = number >> shift & mask
        return number - (sign << 1) if frame.signed and number & sign else number

    return value


def _rle_planes(frame: FrameDescription, content: bytes) -> list[bytes]:
    """The byte planes of a frame in RLE (PS3.5 annex G)."""
    expected = frame.samples * frame.bits_allocated // 8
    header = memoryview(content[:64]).cast("I") if len(content) >= 64 else None
    if header is None or header[0] != expected or expected > 15:
        raise Undecodable
    starts = [*header[1 : 1 + expected], len(content)]
    return [_unpacked(content[start:end], frame.pixels) for start, end in pairwise(starts)]


def _unpacked(segment: bytes, size: int) -> bytes:
    plane, at = bytearray(), 0
    while len(plane) < size and at < len(segment):
        count = segment[at]
        if count < 128:
            plane += segment[at + 1 : at + 2 + count]
            at += count + 2
        else:
            if count > 128:
                plane += segment[at + 1 : at + 2] * (257 - count)
            at += 2 if count > 128 else 1
    return _exactly(bytes(plane[:size]), size * 8)


def _exactly(content: bytes, bits: int) -> bytes:
    size = (bits + 7) // 8
    if len(content) < size:
        raise Undecodable
    return content[:size]
