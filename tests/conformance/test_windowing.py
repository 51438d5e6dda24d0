"""DCMTK renders images by their own window; our pictures show the same greys (PS3.3 section C.11.2)."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from inference.evidence.shown_image import shown_image
from inference.evidence.windowing import windowing
from tests.conformance.source_modalities import SERIES
from tests.conformance.source_series import SourceSeries, make_series, pixel_values

_GREY = 1.01  # of 255; the two round differently


def _with_table(image: Dataset) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [256, 0, 8])
    item.add_new("LUTData", "US", [min(255, entry * entry // 200) for entry in range(256)])
    image.VOILUTSequence = [item]
    image.PixelRepresentation = 0
    image.PixelData = np.arange(24 * 32, dtype="<u2").tobytes()
    del image.WindowCenter, image.WindowWidth
    return image


def _with(function: str, center: float, width: float) -> Dataset:
    image = make_series(SourceSeries(shape=(1, 24, 32)))[0]
    image.VOILUTFunction, image.WindowCenter, image.WindowWidth = function, center, width
    return image


IMAGES = {
    **{name: (lambda name=name: SERIES[name]()[0]) for name in ("CT axial", "PT", "CR", "DX", "MG", "MR coronal")},
    "narrow window": lambda: _with("LINEAR", 0, 10),
    "sigmoid": lambda: _with("SIGMOID", 0, 120),
    "table": lambda: _with_table(make_series(SourceSeries(shape=(1, 24, 32)))[0]),
}


@pytest.mark.parametrize("name", IMAGES)
def test_dcmtk_shows_the_same_greys(name: str, tmp_path: Path) -> None:
    """Each pixel is as bright as in DCMTK's rendering, with the image's first table or else its first window."""
    image: Dataset = IMAGES[name]()
    image.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    how = "+Wl" if name == "table" else "+Wi"
    function = ["+Wfs"] if name == "sigmoid" else []
    command = ["dcmj2pnm", "+on", how, "1", *function, str(tmp_path / "image.dcm"), str(tmp_path / "image.png")]
    subprocess.run(command, check=True, capture_output=True)
    rendered = np.asarray(Image.open(tmp_path / "image.png").convert("L"), np.float32)

    values = pixel_values(image)
    ours = windowing(image, values).grey(values) * 255

    assert rendered.max() > rendered.min()
    np.testing.assert_allclose(ours, rendered, atol=_GREY)


def test_a_malformed_table_is_passed_over() -> None:
    """An image whose table has no entries is shown by its window."""
    image = _with("LINEAR", 0, 10)
    image.VOILUTSequence = [Dataset()]
    values = pixel_values(image)

    assert windowing(image, values) == windowing(_with("LINEAR", 0, 10), values)


def test_colours_are_shown_as_they_are() -> None:
    """An ultrasound image in colour goes through no window."""
    image = SERIES["US"]()[0]
    pixels = np.zeros((40, 30, 3), np.float32)
    pixels[:, 15:] = 200, 100, 50

    shown = shown_image(image, pixels)

    assert shown.canvas[320, 400].tolist() == [200, 100, 50]
    assert shown.canvas[320, 100].tolist() == [0, 0, 0]
