"""Colour images become one number a pixel where the manifest says so, and are refused where it does not."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_color_lut

from inference.algorithms.manifest import parse_manifest
from inference.errors import UnusableInput
from inference.findings.intensity_unit import quantity_of
from inference.imaging.frame_reader import ImageValues
from inference.imaging.series_reader import read_headers
from inference.imaging.series_selection import select_series
from inference.imaging.voi_lut import as_displayed
from storage.domain.study import StoredInstance
from tests.peers.synthetic_series import as_kept, kept, slice_headers
from tests.peers.tiny_detector import manifest_with

RGB = np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype(np.uint8)
WEIGHTS = [0.299, 0.587, 0.114]
INDICES = np.arange(20, dtype=np.uint8).reshape(5, 4)


def _shared_chrominance() -> np.ndarray:
    """Y, Y, Cb, Cr of neighbours, whose Y are the green samples of RGB."""
    packed = np.full((5, 2, 4), 128, np.uint8)
    packed[..., :2] = RGB[..., 1].reshape(5, 2, 2)
    return packed


# By name: Photometric Interpretation, Planar Configuration, what is stored, and the luminance.
NATIVE: dict[str, tuple[str, int, np.ndarray, np.ndarray]] = {
    "by pixel": ("RGB", 0, RGB, RGB @ WEIGHTS),
    "by plane": ("RGB", 1, np.moveaxis(RGB, -1, 0), RGB @ WEIGHTS),
    "of 16 bits": ("RGB", 0, RGB.astype("<u2") * 257, RGB @ WEIGHTS),
    "full": ("YBR_FULL", 0, RGB, RGB[..., 0]),
    "full by plane": ("YBR_FULL", 1, np.moveaxis(RGB, -1, 0), RGB[..., 0]),
    "shared chrominance": ("YBR_FULL_422", 0, _shared_chrominance(), RGB[..., 1]),
}


def _colour(photometric: str, planar: int, stored: np.ndarray, **more: Any) -> Dataset:
    (ds,) = slice_headers(1, size=(5, 4))
    ds.PhotometricInterpretation, ds.PlanarConfiguration, ds.SamplesPerPixel = photometric, planar, 3
    ds.BitsAllocated = ds.BitsStored = 8 * stored.itemsize
    ds.HighBit, ds.PixelRepresentation, ds.PixelData = ds.BitsStored - 1, 0, np.ascontiguousarray(stored).tobytes()
    ds["PixelData"].VR = "OB" if stored.itemsize == 1 else "OW"
    ds.RescaleSlope, ds.RescaleIntercept = 3, -1024  # which are for grey values, as a window is
    ds.WindowCenter, ds.WindowWidth = 40, 80
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def _palette(first: int, **changes: Any) -> Dataset:
    """Entries of 16 bits for the values from ``first`` to first + 9; red falls, green and blue rise."""
    ds = _colour("PALETTE COLOR", 0, INDICES, SamplesPerPixel=1)
    for name, ramp in {"Red": np.arange(9, -1, -1), "Green": np.arange(10), "Blue": np.arange(10) * 2}.items():
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [10, first, 16])
        setattr(ds, f"{name}PaletteColorLookupTableData", (ramp * 1000).astype("<u2").tobytes())
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def _values(instance: StoredInstance) -> list[np.ndarray]:
    images = ImageValues({instance.header.sop_instance_uid: instance})
    return [images.of(header) for header in read_headers([instance])]


@pytest.mark.parametrize("name", NATIVE)
def test_the_luminance_of_native_colours_is_that_of_bt_601(tmp_path: Path, name: str) -> None:
    """However samples are laid out: 0 for black to 255 for white, without rescaling, and shown as it is."""
    photometric, planar, stored, expected = NATIVE[name]
    (instance,) = kept([_colour(photometric, planar, stored)], tmp_path)

    (found,) = _values(instance)

    assert np.abs(found - expected).max() < 1e-3
    (header,) = read_headers([instance])
    assert (as_displayed(found, header) == found).all()
    assert quantity_of([header]) is None


@pytest.mark.parametrize("first", [0, 7])
def test_a_palette_gives_each_value_its_colour(tmp_path: Path, first: int) -> None:
    """Values before and past the table take its first and its last entry, as pydicom does it."""
    ds = _palette(first)
    (instance,) = kept([ds], tmp_path)

    (found,) = _values(instance)

    expected = apply_color_lut(INDICES, ds) @ WEIGHTS * (255 / 65535)
    assert np.abs(found - expected).max() < 1e-3
    assert len(np.unique(found)) == 10


def test_a_palette_of_somebody_else_is_read(tmp_path: Path) -> None:
    """An image of pydicom's collection."""
    ds = dcmread(str(get_testdata_file("examples_palette.dcm", download=False)))
    ds.SeriesNumber = 1
    (instance,) = kept([ds], tmp_path)

    (found,) = _values(instance)

    assert np.abs(found - apply_color_lut(ds.pixel_array, ds) @ WEIGHTS * (255 / 65535)).max() < 1e-3


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda ds: ds.pop("GreenPaletteColorLookupTableData"), "palette"),
        (lambda ds: setattr(ds, "BluePaletteColorLookupTableDescriptor", [9, 0, 16]), "palette"),
        (lambda ds: setattr(ds, "RedPaletteColorLookupTableDescriptor", [10, 0, 99]), "palette"),
        (lambda ds: setattr(ds, "PixelRepresentation", 1), "not-monochrome"),
        (lambda ds: setattr(ds, "PhotometricInterpretation", "YBR_PARTIAL_420"), "not-monochrome"),
    ],
)
def test_colours_that_cannot_be_known_are_refused(tmp_path: Path, edit: Callable[[Dataset], object], code: str) -> None:
    """A palette without a colour, of different lengths or of impossible bits; signed colours; a space not read."""
    ds = _palette(0)
    edit(ds)
    (instance,) = kept([ds], tmp_path)

    with pytest.raises(UnusableInput) as fault:
        _values(instance)

    assert fault.value.reason.code == code


def test_a_jpeg_with_shared_chrominance_may_be_odd_columns_wide(tmp_path: Path) -> None:
    """DCMTK writes such an image of any width; only native pixels come in pairs."""
    ramp = np.repeat(np.tile(np.arange(0, 250, 10, dtype=np.uint8), (16, 1))[..., None], 3, axis=2)
    (instance,) = kept([_colour("RGB", 0, ramp, Rows=16, Columns=25)], tmp_path)
    packed = tmp_path / "packed.dcm"
    subprocess.run(["dcmcjpeg", "+eb", "+s2", str(instance.path), str(packed)], check=True)
    ds = dcmread(packed)
    assert (ds.PhotometricInterpretation, ds.Columns) == ("YBR_FULL_422", 25)

    (values,) = _values(as_kept(ds, packed))

    assert np.abs(values - ramp[..., 0]).max() < 4


def test_pixels_that_are_too_short_for_their_colours_are_refused(tmp_path: Path) -> None:
    """Enough for grey values is not enough."""
    (instance,) = kept([_colour("RGB", 0, RGB[..., :1])], tmp_path)

    with pytest.raises(UnusableInput) as fault:
        _values(instance)

    assert fault.value.reason.code == "short-pixel-data"


def test_frames_of_a_colour_clip_are_read_one_by_one(tmp_path: Path) -> None:
    """Each at its place: a frame has three samples a pixel, or two where pixels share their chrominance."""
    for name in ("by plane", "shared chrominance"):
        photometric, planar, stored, expected = NATIVE[name]
        ds = _colour(photometric, planar, np.stack([np.zeros_like(stored), stored, stored // 2]), NumberOfFrames=3)
        (tmp_path / name).mkdir()
        (instance,) = kept([ds], tmp_path / name)

        found = _values(instance)

        assert found[0].max() == 0
        assert np.abs(found[1] - expected).max() < 1e-3
        assert 0 < found[2].max() < found[1].max()


@pytest.mark.parametrize("taken", [True, False])
def test_a_manifest_says_whether_colours_are_taken(tmp_path: Path, taken: bool) -> None:
    """They are refused by default, in a sentence that names the algorithm."""
    study = kept([_colour("RGB", 0, RGB)], tmp_path)
    manifest = parse_manifest(manifest_with(input={"colour": "grey"} if taken else {}))

    selection = select_series(study, manifest)

    assert (selection.accepted is not None) == taken
    sentences = [refusal.reason.sentence for refusal in selection.refusals]
    assert sentences == ([] if taken else ["The images are in colour; tiny-detector 1.0 takes grey values."])
