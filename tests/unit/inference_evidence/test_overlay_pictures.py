"""Pictures of a segmentation over its images."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from inference.evidence.build import build_evidence
from inference.evidence.overlay_pictures import _labels, overlay_pictures
from inference.imaging.geometry import order_slices
from inference.imaging.volume import Volume
from storage.domain.result import EvidenceObject, EvidenceRole, ResultPicture
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    make_context,
    make_findings,
    make_series,
)

MARK = "AI result, not verified"


def _made(series: SourceSeries, labels: np.ndarray) -> tuple[Volume, EvidenceObject | None]:
    ordered, geometry = order_slices(make_series(series))
    context = make_context(tuple(ordered))
    evidence = build_evidence(context, labels, (LIVER, NODULE), make_findings(context, labels, (LIVER, NODULE)))
    values = np.stack([image.pixel_array for image in context.sources]).astype(np.float32)
    seg = next((one for one in evidence if one.role is EvidenceRole.SEGMENTATION), None)
    return Volume(values, geometry, context.sources), seg


def _pictures(series: SourceSeries, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The pixels of each picture by its title."""
    return {one.title: _pixels(one) for one in overlay_pictures(*_made(series, labels), MARK)}


def _pixels(picture: ResultPicture) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(picture.png)).convert("RGB")).astype(int)


def _blob() -> np.ndarray:
    labels = np.zeros((20, 60, 80), np.uint8)
    labels[5:15, 30:50, 10:30] = 1
    labels[7, 40:43, 60:64] = 2
    return labels


def test_what_is_drawn_is_what_the_frames_hold() -> None:
    """Frames that begin within a byte are read from where they begin."""
    labels = np.zeros((6, 25, 33), np.uint8)
    labels[1:5, 3:20, 4:15] = 1
    labels[2:4, 8:12, 20:31] = 2
    volume, seg = _made(SourceSeries(shape=labels.shape), labels)
    assert seg is not None

    np.testing.assert_array_equal(_labels(volume, dcmread(BytesIO(seg.part10))), labels)


@pytest.mark.parametrize(
    ("orientation", "first"),
    [("axial", "Axial"), ("sagittal", "Sagittal"), ("coronal", "Coronal"), ("oblique", "Coronal")],
)
def test_all_three_planes_are_drawn(orientation: str, first: str) -> None:
    """There is one picture per plane, the acquisition plane first, whatever the plane was."""
    pictures = _pictures(SourceSeries(orientation=orientation, shape=(20, 60, 80)), _blob())

    assert next(iter(pictures)) == first
    assert set(pictures) == {"Axial", "Coronal", "Sagittal"}


@pytest.mark.parametrize("reverse", [False, True], ids=["along", "against"])
def test_a_reconstruction_has_true_proportions_and_the_head_up(reverse: bool) -> None:
    """The coronal view is as wide and high in millimetres as the volume, with higher slices above lower ones."""
    labels = np.zeros((20, 60, 80), np.uint8)
    labels[15:, 30:50, 10:30] = 1
    series = SourceSeries(shape=(20, 60, 80), spacing=(0.8, 0.8), gap=2.5, reverse=reverse)
    volume, seg = _made(series, labels)

    picture = _pixels(next(one for one in overlay_pictures(volume, seg, MARK) if one.title == "Coronal"))

    height, width = picture.shape[:2]
    assert width / height == pytest.approx(80 * 0.8 / (20 * 2.5), rel=0.02)
    below_the_legend = 52
    rows, columns = np.nonzero(_colored(picture[below_the_legend:], LIVER.rgb))
    assert rows.max() + below_the_legend == pytest.approx(height / 4, abs=4)
    assert columns.min() / width == pytest.approx(10 / 80, abs=0.02)


def test_a_small_segment_is_not_passed_over() -> None:
    """A segment on a single slice is in the montage."""
    picture = next(iter(_pictures(SourceSeries(shape=(20, 60, 80)), _blob()).values()))

    lower_half_of_a_tile = _colored(picture, NODULE.rgb)[picture.shape[0] // 4 : picture.shape[0] // 2]
    upper_half_of_next = _colored(picture, NODULE.rgb)[picture.shape[0] * 3 // 4 :]
    assert lower_half_of_a_tile.any() or upper_half_of_next.any()


def test_the_same_result_gives_the_same_bytes() -> None:
    """Pictures are stored by their digest, so drawing twice must not make two."""
    volume, seg = _made(SourceSeries(shape=(20, 60, 80)), _blob())

    assert overlay_pictures(volume, seg, MARK) == overlay_pictures(volume, seg, MARK)


def test_nothing_found_is_a_picture_too() -> None:
    """Where no segment has a voxel, the middle of the volume is shown without colour, and it is said."""
    pictures = _pictures(SourceSeries(shape=(20, 60, 80)), np.zeros((20, 60, 80), np.uint8))

    assert len(pictures) == 3
    for picture in pictures.values():
        assert (picture.max(axis=2) == picture.min(axis=2)).all()
        second_line = picture[20:36, 6:100]
        assert (second_line.min(axis=2) > 250).sum() > 30


def test_the_wrong_images_are_refused() -> None:
    """A segmentation is never drawn over images it was not made from."""
    _, seg = _made(SourceSeries(shape=(20, 60, 80)), _blob())
    others, _ = _made(SourceSeries(shape=(20, 60, 80), study_uid="1.2.826.0.1.3680043.8.498.9"), _blob())

    with pytest.raises(ValueError, match="not given"):
        overlay_pictures(others, seg, MARK)


def test_the_mark_is_inside_the_image() -> None:
    """White letters stand at the top left of every tile, inside the image area."""
    for picture in _pictures(SourceSeries(shape=(20, 60, 80)), _blob()).values():
        corner = picture[4:20, 6:150]
        assert (corner.min(axis=2) > 250).sum() > 50
        assert (corner.max(axis=2) < 5).sum() > 50


def _colored(picture: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture - np.array(rgb)).max(axis=2) == 0
