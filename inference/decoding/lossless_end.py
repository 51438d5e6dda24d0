"""Whether the data of a lossless JPEG end where its image does, see `inference.decoding.jpeg_layout`."""

import numpy as np

from inference.decoding.codestream import Undecodable
from inference.decoding.jpeg_layout import Decoder, JpegLayout, Samples

_SHOWN = 24  # samples that are compared


def decoded_to_the_end(layout: JpegLayout, decoder: Decoder) -> Samples:
    """The samples of a lossless JPEG as ``decoder`` gives them, components as they are stored.

    Raises:
        Undecodable: the data end before the image does, or behind its end.
    """
    rows, columns = layout.rows + 1, layout.columns
    found = decoder(layout.image(layout.head, layout.coded, rows, columns, layout.precision))
    if found.shape[:2] != (rows, columns):
        raise Undecodable
    for data in layout.leftovers():
        # In 16 bits, so that no difference is cut.
        meant = decoder(layout.image(layout.head, data, 1, min(columns, _SHOWN), 16))
        if _as_predicted(layout, _plane(found), _plane(meant)):
            return found[: layout.rows]
    raise Undecodable


def _plane(samples: Samples) -> Samples:
    return samples if samples.ndim == 2 else samples[..., 0]


def _as_predicted(layout: JpegLayout, found: Samples, meant: Samples) -> bool:
    """Whether the further row has the differences of ``meant``, a first row, in which each is to the left."""
    differences = np.diff(meant[0].astype(int), prepend=1 << 15).tolist()
    above = found[layout.rows - 1, : len(differences)].tolist()
    mask = (1 << 8 * found.itemsize) - 1
    sample = before = 0
    for column, (difference, up, seen) in enumerate(zip(differences, above, found[layout.rows].tolist(), strict=False)):
        predicted = _predicted(layout.predictor, sample, up, before) if column else up
        sample, before = (predicted + difference) & 0xFFFF, up
        if sample & mask != seen:
            return False
    return True


def _predicted(predictor: int, left: int, up: int, corner: int) -> int:
    """By the neighbours of a sample (ITU-T T.81 table H.1)."""
    return (
        *(0, left, up, corner, left + up - corner),
        *(left + (up - corner >> 1), up + (left - corner >> 1), left + up >> 1),
    )[predictor]
