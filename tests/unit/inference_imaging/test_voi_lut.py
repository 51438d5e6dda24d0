"""What `voi: first` gives a network is what pydicom, by the Standard, would show."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError
from pydicom import Dataset
from pydicom.pixels.processing import apply_voi_lut

from inference.algorithms.classification_manifest import ImageContract, ImagePreprocessing
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.errors import UnusableInput
from inference.imaging.image_series import ImageSeries, open_series
from inference.imaging.series_reader import read_headers
from inference.imaging.voi_lut import as_displayed
from inference.imaging.volume import as_seen, load_projection
from inference.monitoring.job_watch import JobWatch
from inference.tasks.image_preparation import prepared_images, shown_image
from tests.peers.synthetic_series import kept, slice_headers
from tests.peers.tiny_algorithm import manifest_with

VALUES = np.random.default_rng(7).integers(-1200, 3000, (40, 50)).astype(np.float32)


def _header(**attributes: object) -> Dataset:
    ds = Dataset()
    ds.PhotometricInterpretation, ds.BitsStored, ds.PixelRepresentation = "MONOCHROME2", 16, 1
    ds.BitsAllocated = 16
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def _by_pydicom(header: Dataset) -> np.ndarray:
    """The output range of its windows is that of stored values."""
    shown = apply_voi_lut(VALUES, header)
    return (shown.astype(np.float64) + 2**15) / (2**16 - 1) * 255


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40, 400), (-600.5, 1500.25), (300, 2), (1024, 4096)])
def test_windows_are_applied_as_by_pydicom(function: str | None, center: float, width: float) -> None:
    """LINEAR loses half a value at either end, LINEAR_EXACT none, SIGMOID bends; the result is 0 to 255."""
    header = _header(WindowCenter=center, WindowWidth=width)
    if function:
        header.VOILUTFunction = function

    shown = as_displayed(VALUES, header)

    assert shown.dtype == np.float32
    assert np.abs(shown - _by_pydicom(header)).max() < 0.01


def test_a_window_of_one_value_is_a_threshold() -> None:
    """Window Width 1 with LINEAR: values above center less a half are white."""
    shown = as_displayed(np.array([[9, 10, 11]], np.float32), _header(WindowCenter=10.0, WindowWidth=1.0))

    assert shown.tolist() == [[0, 255, 255]]


def test_the_first_of_several_windows_counts() -> None:
    """A CT of the chest often has a window for lungs behind the one for soft tissue."""
    header = _header(WindowCenter=[40.0, -600.0], WindowWidth=[400.0, 1500.0])

    assert (as_displayed(VALUES, header) == as_displayed(VALUES, _header(WindowCenter=40.0, WindowWidth=400.0))).all()


@pytest.mark.parametrize(("first", "bits"), [(-1000, 12), (0, 8), (100, 16)])
@pytest.mark.parametrize("packed", [True, False])
def test_tables_are_applied_as_by_pydicom_before_any_window(first: int, bits: int, packed: bool) -> None:
    """Values outside have what the nearest end has; a window beside the table is not looked at.

    pydicom counts in 8 bits where entries have 8, so it is not asked for larger values then.
    """
    entries = (np.linspace(0, 1, 256 if bits == 8 else 900) ** 2 * (2**bits - 1)).astype(np.uint16)
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", [len(entries), first, bits])
    item.add_new("LUTData", "OW" if packed else "US", entries.tobytes() if packed else entries.tolist())
    header = _header(VOILUTSequence=[item], WindowCenter=1.0, WindowWidth=2.0)

    values = np.minimum(VALUES, 255) if bits == 8 else VALUES

    shown = as_displayed(values, header)

    by_pydicom = _header(VOILUTSequence=[item])
    if packed:  # pydicom takes packed entries only after it has resolved them
        item.add_new("LUTData", "US", entries.tolist())
    expected = apply_voi_lut(values.astype(np.int16), by_pydicom) / (2**bits - 1) * 255
    assert np.abs(shown - expected).max() < 0.01


def test_monochrome1_is_inverted_behind_its_window() -> None:
    """What the window makes black is white on the screen, so bright things are bright."""
    window = {"WindowCenter": 40.0, "WindowWidth": 400.0}

    inverted = as_displayed(VALUES, _header(PhotometricInterpretation="MONOCHROME1", **window))

    assert np.abs(inverted - (255 - as_displayed(VALUES, _header(**window)))).max() < 1e-4


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"WindowCenter": 40.0},
        {"WindowCenter": 40.0, "WindowWidth": 0.0},
        {"WindowCenter": 4.0, "WindowWidth": 0.5},
        {"WindowCenter": 1e39, "WindowWidth": 1e39},
        {"WindowCenter": 40.0, "WindowWidth": 1e39},
    ],
)
def test_an_image_without_a_window_is_shown_whole(window: dict[str, float]) -> None:
    """The lowest value is black and the highest white; the same where the window is none."""
    shown = as_displayed(VALUES, _header(**window))

    assert shown.min() == 0
    assert shown.max() == 255
    assert np.corrcoef(shown.ravel(), VALUES.ravel())[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("descriptor", [[900, 0, 99], [900, 0, 12], [0, 0, 12]])
def test_a_malformed_table_is_refused_by_name(descriptor: list[int]) -> None:
    """Fewer entries than it says, or of no possible number of bits."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "US", [1, 2, 3])

    with pytest.raises(UnusableInput) as fault:
        as_displayed(VALUES, _header(VOILUTSequence=[item]))

    assert fault.value.reason.code == "voi-lut"


def _windowed_series(folder: Path) -> ImageSeries:
    """Three images: one within its window, one wholly above it, one inverted."""
    slices = slice_headers(count=3, size=(8, 8))
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8) * 16
    for ds, lowest in zip(slices, (0, 2000, 0), strict=True):
        ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = 256, 256, "LINEAR_EXACT"
        ds.PixelData = (ramp + np.uint16(lowest)).tobytes()
    slices[2].PhotometricInterpretation = "MONOCHROME1"
    instances = kept(slices, folder)
    return open_series({one.header.sop_instance_uid: one for one in instances}, read_headers(instances))


@pytest.mark.parametrize("voi", ["none", "first"])
def test_a_network_of_images_is_given_what_the_manifest_asks_for(tmp_path: Path, voi: str) -> None:
    """By default values as they are; with voi: first those of the window, without an image that is one grey."""
    image = ImagePreprocessing(
        size=(8, 8), voi=voi, intensity={"method": "window", "center": 127.5, "width": 255}, fit="stretch"
    )
    manifest = SimpleNamespace(input=ImageContract(modalities=["MR"]), image=image)
    series = _windowed_series(tmp_path)
    examined: list[int] = []

    planes = dict(prepared_images(series, manifest, examined, [], JobWatch()))

    assert examined == ([0, 2] if voi == "first" else [0, 1, 2])
    ramp = np.arange(64).reshape(8, 8) * 16
    if voi == "first":
        assert np.abs(planes[0] - np.clip((ramp - 128) / 256, 0, 1)).max() < 1e-3
        assert np.abs(planes[2] - (1 - np.clip((ramp - 128) / 256, 0, 1))).max() < 1e-3
        assert (shown_image(series, image, 2) == as_displayed(series.values(2), series.headers[2])).all()
    else:
        assert np.abs(planes[0] - np.clip(ramp / 255, 0, 1)).max() < 1e-3


def test_a_radiograph_that_is_outlined_is_seen_through_its_window(tmp_path: Path) -> None:
    """The network's values are those of the window; the volume that is measured keeps its own."""
    (ds,) = slice_headers(count=1, size=(8, 8))
    ds.WindowCenter, ds.WindowWidth = 256, 256
    ds.PixelData = (np.arange(64, dtype=np.uint16) * 16).tobytes()
    instances = kept([ds], tmp_path)
    (header,) = read_headers(instances)
    volume = load_projection({one.header.sop_instance_uid: one for one in instances}, header)

    assert (as_seen(volume).values == volume.values).all()
    assert (as_seen(volume, "first").values[0] == as_displayed(volume.values[0], header)).all()
    assert volume.values.max() == 63 * 16


def test_windows_of_slices_are_not_taken_for_one_of_a_volume() -> None:
    """Each slice may have a window of its own, so only radiographs are segmented through theirs."""
    with pytest.raises(ValidationError, match="voi is for radiographs"):
        SegmentationManifest.model_validate(manifest_with(preprocessing={"voi": "first"}))
