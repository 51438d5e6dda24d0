"""Whether the data of a baseline or extended JPEG end where its image does, see `inference.decoding.jpeg_layout`.

The further row of blocks is compared in another image than the one that is wanted: with quantization tables that leave
out the mean of a block, which depends on all blocks before it, and keep the rest small, so that hardly anything
saturates. So equal codes give equal samples.
"""

import struct

import numpy as np

from inference.decoding.codestream import Undecodable
from inference.decoding.jpeg_layout import Decoder, JpegLayout

_SHOWN = 2  # units that are compared


def refuse_other_end(layout: JpegLayout, decoder: Decoder) -> None:
    """Refuse data that end before the image does, or behind its end; ``decoder`` gives components as they are stored.

    Raises:
        Undecodable: they do.
    """
    down, across = layout.unit
    rows, shown = layout.whole_rows + down, min(layout.columns, _SHOWN * across)
    found = decoder(layout.image(_without_means(layout), layout.coded, rows, layout.columns, layout.precision))
    seen = found[layout.whole_rows :, :shown]
    for data in layout.leftovers():
        meant = decoder(layout.image(_without_means(layout), data, down, shown, layout.precision))
        if meant.shape == seen.shape and np.array_equal(_first(seen), _first(meant)):
            return
    raise Undecodable


def _first(samples: np.ndarray) -> np.ndarray:
    """The first component: others may be coarser, and a decoder smooths them across rows."""
    return samples if samples.ndim == 2 else samples[..., 0]


def _without_means(layout: JpegLayout) -> bytearray:
    head = layout.head
    for at in layout.tables:
        (length,) = struct.unpack_from(">H", head, at + 2)
        place, end = at + 4, at + 2 + length
        while place < end:
            wide = head[place] >> 4  # elements of two bytes
            entries = (0).to_bytes(1 + wide, "big") + (1).to_bytes(1 + wide, "big") * 63
            head[place + 1 : place + 1 + len(entries)] = entries
            place += 1 + len(entries)
    return head
