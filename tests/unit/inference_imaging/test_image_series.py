"""Series of images that need not be a volume: their order, what is known of their geometry, and their brightness."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from inference.algorithms.manifest import Manifest, parse_manifest
from inference.errors import UnusableInput
from inference.imaging.image_series import bright_is_high, open_series, order_images, pixel_spacing
from inference.imaging.series_selection import select_series
from tests.peers.synthetic_series import kept, slice_headers, with_pixels
from tests.peers.tiny_classifier import manifest_with

CORONAL = (1, 0, 0, 0, 0, -1)


def _without(*keywords: str):
    def edit(index: int, ds: Dataset) -> None:
        for keyword in keywords:
            delattr(ds, keyword)

    return edit


def _manifest(**contract: Any) -> Manifest:
    return parse_manifest(manifest_with(input=contract))


def test_slices_stand_in_the_order_of_their_places() -> None:
    """Instance Number is not believed where the images say where they lie."""
    headers = slice_headers(edit=lambda index, ds: setattr(ds, "InstanceNumber", 99 - index))

    ordered, layout = order_images(list(reversed(headers)))

    assert ordered == headers
    assert (layout.plane, layout.slice_spacing_mm, layout.pixel_spacing_mm) == ("axial", 2.0, 1.5)


def test_images_without_a_place_stand_in_the_order_of_their_numbers() -> None:
    """Projection radiographs have no Image Position; they are read 1, 2, 10, and those without a number last."""
    headers = slice_headers(count=4, edit=_without("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"))
    for header, number in zip(headers, (10, None, 2, 1), strict=True):
        header.InstanceNumber = number

    ordered, layout = order_images(headers)

    assert ordered == [headers[3], headers[2], headers[0], headers[1]]
    assert (layout.plane, layout.slice_spacing_mm, layout.pixel_spacing_mm) == (None, None, None)


@pytest.mark.parametrize(
    "edit",
    [
        lambda index, ds: setattr(ds, "ImagePositionPatient", [0, 0, float(index // 2)]),
        lambda index, ds: setattr(ds, "ImagePositionPatient", [0, 0, float(index**2)]),
        lambda index, ds: setattr(ds, "ImageOrientationPatient", [1, 0, 0, 0, 0, -1] if index else [1, 0, 0, 0, 1, 0]),
        lambda index, ds: setattr(ds, "Rows", 5 + index),
        _without("ImagePositionPatient"),
        _without("PixelSpacing"),
    ],
    ids=["twice-at-a-place", "uneven", "not-parallel", "of-different-size", "without-a-place", "without-spacing"],
)
def test_what_is_no_volume_can_be_classified(tmp_path: Path, edit: Any) -> None:
    """Each image is read by itself, so what refuses a volume is no fault here."""
    selection = select_series(kept(slice_headers(edit=edit), tmp_path), _manifest())

    assert selection.accepted is not None
    assert len(selection.accepted.headers) == 6


@pytest.mark.parametrize("modality", ["MR", "DX"])
def test_a_single_image_is_accepted(tmp_path: Path, modality: str) -> None:
    """One radiograph, or one slice, is enough unless the contract asks for more."""
    study = kept(slice_headers(count=1, edit=lambda _, ds: setattr(ds, "Modality", modality)), tmp_path)

    assert select_series(study, _manifest()).accepted is not None
    assert [one.reason.code for one in select_series(study, _manifest(min_slices=2)).refusals] == ["too-few-slices"]


@pytest.mark.parametrize(
    ("contract", "edit", "code"),
    [
        ({"plane": "coronal"}, None, "plane-not-accepted"),
        ({"plane": "axial"}, _without("ImageOrientationPatient"), "plane-not-accepted"),
        ({"max_pixel_spacing_mm": 1.4}, None, "pixel-spacing-too-large"),
        ({"max_pixel_spacing_mm": 1.4}, _without("PixelSpacing"), "pixel-spacing-too-large"),
        ({"max_slice_spacing_mm": 1.9}, None, "slice-spacing-too-large"),
        ({"max_slice_spacing_mm": 1.9}, _without("ImagePositionPatient"), "slice-spacing-too-large"),
        ({}, lambda _, ds: setattr(ds, "Modality", "CT"), "modality-not-accepted"),
        ({}, lambda _, ds: setattr(ds, "NumberOfFrames", 3), "multi-frame"),
        ({}, lambda _, ds: setattr(ds, "PhotometricInterpretation", "RGB"), "not-monochrome"),
        ({}, lambda _, ds: setattr(ds, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), "localizer"),
    ],
)
def test_the_contract_is_held_for_images_too(tmp_path: Path, contract: dict[str, Any], edit: Any, code: str) -> None:
    """Limits that are asked for are checked, and refuse also where the images do not say; codes are the same."""
    selection = select_series(kept(slice_headers(edit=edit), tmp_path), _manifest(**contract))

    assert selection.accepted is None
    assert [one.reason.code for one in selection.refusals] == [code]
    assert selection.refusals[0].reason.sentence.endswith(".")


def test_the_sentence_says_what_is_unknown(tmp_path: Path) -> None:
    """A radiologist reads why, also when the reason is that the images say nothing."""
    study = kept(slice_headers(edit=_without("ImageOrientationPatient")), tmp_path)

    (refusal,) = select_series(study, _manifest(plane="axial")).refusals

    assert refusal.reason.sentence == ("The series is in no known plane; tiny-classifier 1.0 takes axial series.")


def test_values_are_read_after_the_modality_lut(tmp_path: Path) -> None:
    """Rescale Slope and Intercept are applied image by image."""

    def edit(index: int, ds: Dataset) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = 2, index

    headers = with_pixels(slice_headers(count=2, edit=edit), np.full((2, 5, 4), 10))
    series = open_series({one.header.sop_instance_uid: one for one in kept(headers, tmp_path)}, headers)

    assert [series.values(index)[0, 0] for index in (0, 1)] == [20, 21]


def test_a_series_of_too_many_pixels_is_refused() -> None:
    """The budget for pixels holds here as for volumes."""
    headers = slice_headers(count=2, edit=lambda _, ds: (setattr(ds, "Rows", 65535), setattr(ds, "Columns", 65535)))

    with pytest.raises(UnusableInput) as refusal:
        open_series({}, headers)

    assert refusal.value.reason.code == "too-many-pixels"


def test_monochrome1_is_mirrored_within_its_range() -> None:
    """What a viewer shows bright is high: the lowest value becomes the highest, and the range stays."""
    header = Dataset()
    header.PhotometricInterpretation = "MONOCHROME1"
    values = np.array([[10, 20], [30, 110]], np.float32)

    assert bright_is_high(values, header).tolist() == [[110, 100], [90, 10]]
    header.PhotometricInterpretation = "MONOCHROME2"
    assert bright_is_high(values, header) is values


@pytest.mark.parametrize(
    ("spacing", "imager", "expected"),
    [
        ([0.5, 0.7], None, (0.5, 0.7)),
        (None, [0.2, 0.2], (0.2, 0.2)),
        ([0.0, 0.7], [0.2, 0.3], (0.2, 0.3)),
        (None, None, None),
        ("0.5", None, None),
    ],
)
def test_pixel_spacing_is_the_patients_or_the_detectors(
    spacing: Any, imager: Any, expected: tuple[float, float] | None
) -> None:
    """Nonsense is nothing."""
    header = Dataset()
    if spacing is not None:
        header.PixelSpacing = spacing
    if imager is not None:
        header.ImagerPixelSpacing = imager

    assert pixel_spacing(header) == expected
