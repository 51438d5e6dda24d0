"""From the encoded bytes of a frame to samples; runs in the child only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from inference.decoding.blocks_end import refuse_other_end
from inference.decoding.codestream import (
    JPEG_DATA,
    Undecodable,
    jpeg_2000_size,
    jpeg_size,
    jpeg_with_more_data,
    refuse_cut_off,
    refuse_incomplete_tiles,
)
from inference.decoding.jpeg_layout import jpeg_layout
from inference.decoding.lossless_end import decoded_to_the_end
from inference.decoding.request import (
    HTJ2K,
    JPEG,
    JPEG_2000,
    JPEG_LS,
    RLE,
    DecodingRequest,
)

_Size = Callable[[bytes], tuple[int, int, int]]
_Decoder = Callable[..., Any]


def _jpeg(content: bytes, as_stored: bool = False) -> NDArray[np.unsignedinteger[Any]]:
    """libjpeg-turbo, which fills up what is missing and passes over what is left, without a word.

    Three components are given ``as_stored``; left to itself, the decoder takes them for YCbCr and gives red, green and
    blue.

    Raises:
        Undecodable: the data end before the image does, or behind its end.
    """
    layout = jpeg_layout(content)
    stored = _jpeg_decoder("YCBCR" if layout and layout.components == 3 else None)
    decoded = stored if as_stored else _jpeg_decoder(None)
    if layout is None:
        return _not_filled_up(content, decoded)
    if not layout.is_lossless:
        refuse_other_end(layout, stored)
        return decoded(content)
    found = decoded_to_the_end(layout, stored)
    return found if as_stored or layout.components == 1 else decoded(content)


def _jpeg_decoder(colours: str | None) -> Callable[[bytes], NDArray[np.unsignedinteger[Any]]]:
    """A decoder that leaves components in a colour space as they are; ``None``: one that gives red, green and blue."""
    return partial(imagecodecs.jpeg8_decode, colorspace=colours, outcolorspace=colours)


def _not_filled_up(
    content: bytes, decoded: Callable[[bytes], NDArray[np.unsignedinteger[Any]]]
) -> NDArray[np.unsignedinteger[Any]]:
    """An image in several parts: decoded again with other bytes behind the data, which a complete one ignores."""
    found = decoded(content)
    if not np.array_equal(found, decoded(jpeg_with_more_data(content))):
        raise Undecodable
    return found


# By transfer syntax: what a codestream says of its size, and what decodes it.
_CODECS: dict[str, tuple[_Size, _Decoder]] = {
    **dict.fromkeys(JPEG, (jpeg_size, _jpeg)),
    **dict.fromkeys(JPEG_LS, (jpeg_size, imagecodecs.jpegls_decode)),
    **dict.fromkeys(JPEG_2000, (jpeg_2000_size, imagecodecs.jpeg2k_decode)),
    **dict.fromkeys(HTJ2K, (jpeg_2000_size, imagecodecs.htj2k_decode)),
}
# Of those whose decoder does not mind that something is missing, or takes seconds to find out: what does.
_COMPLETE = dict.fromkeys(JPEG | JPEG_LS, refuse_cut_off) | dict.fromkeys(JPEG_2000 | HTJ2K, refuse_incomplete_tiles)
_ADOBE = b"\xff\xee\x00\x0eAdobe"  # the head of the segment that says what components are (ITU-T T.872 6.5.3)
_SEGMENTS = 15  # at most, of a frame in RLE
_LONGEST_RUN = 128  # bytes


def decode(request: DecodingRequest, content: bytes, samples: NDArray[np.unsignedinteger[Any]]) -> None:
    """Put the samples of a frame into an array of (row, column), or of (row, column, sample).

    Samples are little-endian and as wide as Bits Allocated; negative ones are in two's complement. Three of them are
    those that the header's Photometric Interpretation names, where that is RGB or YBR_FULL; of JPEG 2000 with a
    component transformation (YBR_ICT, YBR_RCT) they are red, green and blue.

    Raises:
        Undecodable: they cannot be had.
    """
    if request.transfer_syntax_uid in RLE:
        _run_length(request, content, samples)
        return
    told, decoder = _CODECS[request.transfer_syntax_uid]
    if told(content) != (request.rows, request.columns, request.samples):
        raise Undecodable
    _COMPLETE[request.transfer_syntax_uid](content)
    with _nothing_swallowed():
        if request.transfer_syntax_uid in JPEG:
            found = _jpeg(content, _is_kept(request, content))
        else:
            try:
                decoder(content, out=samples)  # where they shall be, if it agrees about their type
                return
            except (ValueError, TypeError):
                found = decoder(content)
    if found.shape != samples.shape or found.dtype.kind not in "iu" or found.itemsize > request.bytes_per_sample:
        raise Undecodable
    samples[...] = found.astype(samples.dtype, casting="unsafe", copy=False)


def _is_kept(request: DecodingRequest, content: bytes) -> bool:
    """Whether the components of a JPEG are what the header says; RGB may be stored as YCbCr that says so itself."""
    if request.samples != 3 or request.transfer_syntax_uid not in JPEG:
        return False
    return not (request.is_rgb and _ADOBE in content[: content.find(JPEG_DATA)])


@contextmanager
def _nothing_swallowed() -> Iterator[None]:
    """Refuse what a codec found at fault and went on: the binding of OpenJPH writes such errors down and returns.

    Raises:
        Undecodable: it found something.
    """
    found: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, found.append
    try:
        yield
    finally:
        sys.unraisablehook = hook
    if found:
        raise Undecodable


def _run_length(request: DecodingRequest, content: bytes, samples: NDArray[np.unsignedinteger[Any]]) -> None:
    """One segment for each byte of a sample, the most significant first (PS3.5 annex G)."""
    count = request.samples * request.bytes_per_sample
    header = np.frombuffer(content[:64], "<u4")
    if len(header) < 16 or header[0] != count or count > _SEGMENTS:
        raise Undecodable
    starts = [*(int(start) for start in header[1 : 1 + count]), len(content)]
    pixels = request.rows * request.columns
    planes = samples.view(np.uint8).reshape(pixels, request.samples, request.bytes_per_sample)
    for number in range(count):
        start, end = starts[number], starts[number + 1]
        if not 64 <= start <= end <= len(content):
            raise Undecodable
        plane = _unpacked(content[start:end], pixels)
        sample, byte = divmod(number, request.bytes_per_sample)
        planes[:, sample, request.bytes_per_sample - 1 - byte] = plane


def _unpacked(segment: bytes, pixels: int) -> NDArray[np.uint8]:
    """A byte plane; a segment that was damaged is seldom of the right length. Zeros may fill it up behind its end."""
    found = imagecodecs.packbits_decode(segment, out=bytearray(pixels + _LONGEST_RUN))
    more = len(found) - pixels
    if more < 0 or not segment.endswith(bytes(2 * more)):
        raise Undecodable
    return np.frombuffer(found, np.uint8, pixels)
