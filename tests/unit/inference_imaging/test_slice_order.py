"""Slices are ordered by where they lie, and what is no volume is refused by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from inference.errors import UnusableInput
from inference.imaging.geometry import order_slices
from tests.peers.synthetic_series import slice_headers

AXIAL = (1, 0, 0, 0, 1, 0)
CORONAL = (1, 0, 0, 0, 0, -1)
SAGITTAL = (0, 1, 0, 0, 0, -1)


@given(st.permutations(range(6)), st.sampled_from([AXIAL, CORONAL, SAGITTAL]))
@settings(max_examples=40, deadline=None)
def test_any_order_of_arrival_gives_the_same_volume(order: list[int], orientation: tuple[int, ...]) -> None:
    """The order is that of the places along the normal, whatever the order of arrival and the numbers say."""
    headers = slice_headers(orientation=orientation)
    for number, header in enumerate(reversed(headers)):
        header.InstanceNumber = number

    ordered, geometry = order_slices([headers[index] for index in order])

    assert ordered == headers
    assert geometry.shape == (6, 5, 4)
    assert geometry.spacing_mm == pytest.approx((2.0, 1.0, 1.5))


def test_the_affine_leads_from_voxels_to_the_patient() -> None:
    """Column index runs along the row direction with the second Pixel Spacing, row index with the first."""
    _, geometry = order_slices(slice_headers())

    assert geometry.affine @ (0, 0, 0, 1) == pytest.approx((10, 20, 30, 1))
    assert geometry.affine @ (0, 0, 1, 1) == pytest.approx((11.5, 20, 30, 1))
    assert geometry.affine @ (0, 1, 0, 1) == pytest.approx((10, 21, 30, 1))
    assert geometry.affine @ (1, 0, 0, 1) == pytest.approx((10, 20, 32, 1))
    assert geometry.voxel_volume_mm3 == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [
        (AXIAL, "axial"),
        (CORONAL, "coronal"),
        (SAGITTAL, "sagittal"),
        ((1, 0, 0, 0, np.cos(0.3), np.sin(0.3)), "axial"),
        ((1, 0, 0, 0, np.cos(0.7), np.sin(0.7)), "oblique"),
    ],
)
def test_the_plane_is_named_after_the_normal(orientation: tuple[float, ...], plane: str) -> None:
    """Within 25 degrees of an axis a series has that plane's name."""
    assert order_slices(slice_headers(orientation=orientation))[1].plane == plane


def _set(keyword: str, value: object, index: int = 2):
    def edit(position: int, ds: Dataset) -> None:
        if position == index:
            setattr(ds, keyword, value)

    return edit


def _without(keyword: str):
    def edit(position: int, ds: Dataset) -> None:
        if position == 3:
            delattr(ds, keyword)

    return edit


def _tilted(position: int, ds: Dataset) -> None:
    ds.ImagePositionPatient = [10, 20 + position * 0.6, 30 + position * 2]


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (_set("ImagePositionPatient", [10, 20, 32]), "duplicate-positions"),
        (_set("ImageOrientationPatient", [1, 0, 0, 0, 0, -1]), "mixed-orientation"),
        (_set("ImageOrientationPatient", [1, 0, 0, 0, 1]), "missing-geometry"),
        (_set("Rows", 7), "mixed-size"),
        (_set("PixelSpacing", [2, 2]), "mixed-spacing"),
        (_set("FrameOfReferenceUID", "1.2"), "mixed-frame-of-reference"),
        (_set("ImagePositionPatient", [10, 20, 34.4]), "uneven-spacing"),
        (_without("ImagePositionPatient"), "missing-geometry"),
        (_without("ImageOrientationPatient"), "missing-geometry"),
        (_without("PixelSpacing"), "missing-geometry"),
        (lambda _, ds: setattr(ds, "PixelSpacing", [1e-9, 1e-9]), "missing-geometry"),
        (_tilted, "tilted-stack"),
    ],
)
def test_what_is_no_volume_is_refused_by_name(edit, code: str) -> None:
    """Each fault of the geometry has its code; nothing is silently straightened."""
    with pytest.raises(UnusableInput) as fault:
        order_slices(slice_headers(edit=edit))

    assert fault.value.reason.code == code


def test_a_missing_slice_is_a_gap() -> None:
    """A slice that is lost inside the series is noticed, and the sentence says how many are missing."""
    headers = slice_headers(count=9)
    del headers[4:6]

    with pytest.raises(UnusableInput, match="About 2 slices") as fault:
        order_slices(headers)

    assert fault.value.reason.code == "gap"


def test_orientations_of_no_length_are_missing_geometry() -> None:
    """Six zeros are present, but they say nothing."""
    with pytest.raises(UnusableInput) as fault:
        order_slices(slice_headers(orientation=(1, 0, 0, 0, 1, 0), edit=_zero_orientation))

    assert fault.value.reason.code == "missing-geometry"


def _zero_orientation(_: int, ds: Dataset) -> None:
    ds.ImageOrientationPatient = [0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("ImagePositionPatient", [1e300, 0, 0]), ("ImagePositionPatient", [0, -1e7, 0]), ("PixelSpacing", [1e300, 1e300])],
)
def test_places_that_no_patient_has_are_missing_geometry(keyword: str, value: list[float]) -> None:
    """All slices may lie a light year away together: what is computed of it is no place, and no volume."""

    def edit(index: int, ds: Dataset) -> None:
        setattr(ds, keyword, [*value[:2], index] if len(value) == 3 else value)

    with pytest.raises(UnusableInput) as fault:
        order_slices(slice_headers(edit=edit))

    assert fault.value.reason.code == "missing-geometry"


def test_positions_rounded_by_the_scanner_are_accepted() -> None:
    """Places rounded to a tenth of a millimetre are still evenly spaced."""

    def edit(index: int, ds: Dataset) -> None:
        ds.ImagePositionPatient = [10, 20, round(30 + index * 0.9375, 1)]

    _, geometry = order_slices(slice_headers(count=40, edit=edit))

    assert geometry.spacing_mm[0] == pytest.approx(0.9375, abs=0.005)
