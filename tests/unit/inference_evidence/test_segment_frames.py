"""Frames are cut and packed as they are written."""

import numpy as np
import pytest

from inference.evidence.segment_frames import Frame, Frames


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (1, 1), (7, 9)])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
def test_the_bytes_are_those_of_all_frames_packed_at_once(shape, count):
    """Also where frames share bytes, no bit is lost, added or in another place."""
    source = np.random.default_rng(count)
    labels = source.integers(0, 4, (5, *shape), dtype=np.uint8)
    places = [(int(source.integers(5)), int(source.integers(1, 5))) for _ in range(count)]
    masks = np.stack([labels[index] == label for index, label in places])

    frames = Frames(
        labels, [Frame(index, label, label, *_span(masks[n])) for n, (index, label) in enumerate(places)], {}
    )

    packed = np.packbits(masks, bitorder="little").tobytes()
    assert b"".join(frames.pixel_data())[12:] == packed + bytes(len(packed) % 2)


def _span(mask):
    pixels = np.flatnonzero(mask)
    return (int(pixels[0]), int(pixels[-1]) + 1) if pixels.size else (0, 0)
