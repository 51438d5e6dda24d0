"""What of a series shows something, and what is air."""

import numpy as np
import pytest

from inference.imaging.content import air_level, content


def _head(share: float, bright: float = 1000.0, dark: float = 0.0) -> np.ndarray:
    """A slice with noise in air and a part that is bright."""
    noise = np.random.default_rng(1).normal(0.02, 0.005, (64, 64))
    noise[: round(64 * share)] = 1
    return (dark + noise * (bright - dark)).astype(np.float32)


@pytest.mark.parametrize(("dark", "bright"), [(0.0, 1000.0), (-1000.0, 300.0)])
def test_noise_is_air_and_tissue_is_not(dark: float, bright: float) -> None:
    """Whatever the scale begins with, the share of a slice is that of its bright part, and of an empty one nothing."""
    series = [_head(share, bright, dark) for share in (0.0, 0.25, 0.5, 0.5, 0.25, 0.0)]

    level = air_level(series)

    assert [round(content(image, level), 2) for image in series] == [0.0, 0.25, 0.5, 0.5, 0.25, 0.0]


def test_one_image_of_another_scale_makes_no_air_of_the_others() -> None:
    """A localizer twenty times as bright changes nothing for the slices."""
    series = [_head(0.5) for _ in range(20)] + [_head(0.5, bright=20_000)]

    level = air_level(series)

    assert {round(content(image, level), 1) for image in series[:20]} == {0.5}
