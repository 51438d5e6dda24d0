"""Pictures of a segmentation over its images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from inference.evidence.build import build_evidence
from overread.pictures import overlay_pictures
from storage.domain.result import EvidenceRole
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    evidence_dataset,
    make_context,
    make_findings,
    make_series,
)


def _made(series: SourceSeries, labels: np.ndarray) -> tuple[tuple[Dataset, ...], Dataset]:
    context = make_context(make_series(series))
    evidence = build_evidence(context, labels, (LIVER, NODULE), make_findings(context, labels, (LIVER, NODULE)))
    return context.sources, evidence_dataset(evidence, EvidenceRole.SEGMENTATION)


def _blob() -> np.ndarray:
    labels = np.zeros((20, 60, 80), np.uint8)
    labels[5:15, 30:50, 10:30] = 1
    labels[7, 40:43, 60:64] = 2
    return labels


@pytest.mark.parametrize(
    ("orientation", "first"),
    [("axial", "axial"), ("sagittal", "sagittal"), ("coronal", "coronal"), ("oblique", "coronal")],
)
def test_all_three_planes_are_drawn(orientation: str, first: str, tmp_path: Path) -> None:
    """There is one picture per plane, the acquisition plane first, whatever the plane was."""
    sources, seg = _made(SourceSeries(orientation=orientation, shape=(20, 60, 80)), _blob())

    paths = overlay_pictures(sources, seg, tmp_path / "new")

    assert paths[0].name == f"overlay-{first}.png"
    assert {path.name for path in paths} == {"overlay-axial.png", "overlay-coronal.png", "overlay-sagittal.png"}


@pytest.mark.parametrize("reverse", [False, True], ids=["along", "against"])
def test_a_reconstruction_has_true_proportions_and_the_head_up(reverse: bool, tmp_path: Path) -> None:
    """The coronal view is as wide and high in millimetres as the volume, with higher slices above lower ones."""
    labels = np.zeros((20, 60, 80), np.uint8)
    labels[15:, 30:50, 10:30] = 1
    if reverse:
        labels = labels[::-1].copy()
    series = SourceSeries(shape=(20, 60, 80), spacing=(0.8, 0.8), gap=2.5, reverse=reverse)
    sources, seg = _made(series, labels)

    path = next(one for one in overlay_pictures(sources, seg, tmp_path) if "coronal" in one.name)

    picture = np.asarray(Image.open(path)).astype(int)
    height, width = picture.shape[:2]
    assert width / height == pytest.approx(80 * 0.8 / (20 * 2.5), rel=0.02)
    below_the_legend = 52
    rows, columns = np.nonzero(_colored(picture[below_the_legend:], LIVER.rgb))
    assert rows.max() + below_the_legend == pytest.approx(height / 4, abs=4)
    assert columns.min() / width == pytest.approx(10 / 80, abs=0.02)


def test_a_small_segment_is_not_passed_over(tmp_path: Path) -> None:
    """A segment on a single slice is in the montage."""
    sources, seg = _made(SourceSeries(shape=(20, 60, 80)), _blob())

    picture = np.asarray(Image.open(overlay_pictures(sources, seg, tmp_path)[0])).astype(int)

    lower_half_of_a_tile = _colored(picture, NODULE.rgb)[picture.shape[0] // 4 : picture.shape[0] // 2]
    upper_half_of_next = _colored(picture, NODULE.rgb)[picture.shape[0] * 3 // 4 :]
    assert lower_half_of_a_tile.any() or upper_half_of_next.any()


def test_sources_may_be_files_in_any_order(tmp_path: Path) -> None:
    """Paths and data sets, sorted or not, give the same pictures."""
    sources, seg = _made(SourceSeries(shape=(20, 60, 80)), _blob())
    files = []
    for index, image in enumerate(reversed(sources)):
        files.append(tmp_path / f"{index}")
        image.save_as(files[-1])

    from_files = overlay_pictures(files, seg, tmp_path / "one")
    from_memory = overlay_pictures(sources, seg, tmp_path / "two")

    assert [path.read_bytes() for path in from_files] == [path.read_bytes() for path in from_memory]


def test_the_wrong_images_are_refused(tmp_path: Path) -> None:
    """A segmentation is never drawn over images it was not made from."""
    _, seg = _made(SourceSeries(shape=(20, 60, 80)), _blob())
    others = make_series(SourceSeries(shape=(20, 60, 80), study_uid="1.2.826.0.1.3680043.8.498.9"))

    with pytest.raises(ValueError, match="not given"):
        overlay_pictures(others, seg, tmp_path)


def test_the_mark_is_inside_the_image(tmp_path: Path) -> None:
    """White letters stand at the top left of every tile, inside the image area."""
    sources, seg = _made(SourceSeries(shape=(20, 60, 80)), _blob())

    for path in overlay_pictures(sources, seg, tmp_path):
        corner = np.asarray(Image.open(path).convert("RGB"))[4:20, 6:150]
        assert (corner.min(axis=2) > 250).sum() > 50
        assert (corner.max(axis=2) < 5).sum() > 50


def _colored(picture: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture - np.array(rgb)).max(axis=2) == 0
