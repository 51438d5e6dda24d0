"""Other people's programs judge what comes of a detection in a volume, and every object names the same box."""

import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from highdicom.sr import srread
from pydicom import Dataset, dcmread

from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.imaging.frames import image_key
from inference.pipeline import ReadyAlgorithm, analyse
from inference.settings import WorkerSettings
from storage.domain.result import EvidenceForm, NewResult
from tests.conformance.every_evidence import EVERY_FORM, child, content_items, groups_of
from tests.conformance.source_series import STARTED_AT, SourceSeries, make_series
from tests.peers.multi_frame import files_of, image_of
from tests.peers.synthetic_series import kept, study_of
from tests.peers.tiny_volume_detector import write_tiny_volume_detector

AXIAL = SourceSeries(shape=(8, 64, 64), spacing=(0.5, 0.75), gap=4.0)
# Slices from the first, rows and columns. The network sees half the rows and columns, in windows of 4 x 16 x 16 that
# begin at 0, 2, 4 and 0, 8, 16: the first block lies across their middles, the second in a corner.
BLOCKS = (
    (slice(3, 5), slice(28, 36), slice(28, 36), 2000),
    (slice(6, 8), slice(0, 8), slice(56, 64), 1800),
)
SERIES = {"axial": AXIAL, "sagittal reversed": replace(AXIAL, orientation="sagittal", reverse=True)}


def _images(series: SourceSeries) -> tuple[Dataset, ...]:
    """In the order of their places; dark, with bright blocks."""
    images = make_series(series)
    volume = np.zeros((8, 64, 64), "<i2")
    for slices, rows, columns, level in BLOCKS:
        volume[slices, rows, columns] = level
    normal = np.cross(*np.reshape(images[0].ImageOrientationPatient, (2, 3)).astype(float))
    in_place = sorted(images, key=lambda one: float(np.dot(np.array(one.ImagePositionPatient, float), normal)))
    for image, pixels in zip(in_place, volume, strict=True):
        image.PixelData = pixels.tobytes()
        image.TimezoneOffsetFromUTC = "-0500"  # DCMTK 3.6.7 refuses every zone east of Greenwich, and Greenwich itself
    return tuple(in_place)


@pytest.fixture(scope="module", params=list(SERIES))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Dataset], NewResult]:
    """The images in the order of their places, and what the pipeline makes of them in every form."""
    folder = tmp_path_factory.mktemp("volume")
    images = _images(SERIES[request.param])
    preprocessing = {"target_size": [8, 32, 32], "anti_aliasing": False}
    verified = verify(write_tiny_volume_detector(folder / "algorithm", preprocessing=preprocessing))
    engine = Engine(verified, WorkerSettings(device="cpu"))
    (folder / "images").mkdir()
    study = study_of(kept(files_of(images), folder / "images"))
    algorithm = ReadyAlgorithm(verified, engine, engine.provider)
    result = analyse(study, algorithm, STARTED_AT, b"a secret of this site", EVERY_FORM)
    assert isinstance(result, NewResult)
    return list(images), result


def _read(result: NewResult, form: EvidenceForm) -> Dataset:
    (one,) = [each for each in result.evidence if each.form is form]
    return dcmread(BytesIO(one.part10))


def _drawn(images: list[Dataset], result: NewResult) -> set[object]:
    """Tracking UID, image, and upper left and lower right corner of each box on each slice."""
    return {
        (finding.tracking_uid, image_key(images[index]), (left.start, top.start), (left.stop, top.stop))
        for finding, (slices, top, left, _) in zip(result.findings, BLOCKS, strict=False)
        for index in range(slices.start, slices.stop)
    }


def _ends(item: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    points = np.array(item.GraphicData, float).reshape(-1, 2)
    return tuple(points.min(axis=0).tolist()), tuple(points.max(axis=0).tolist())


def test_each_block_is_one_finding_over_its_slices(case: tuple[list[Dataset], NewResult]) -> None:
    """Also the one that no window shows in its middle, at its true edges; the class without any is absent."""
    images, result = case

    assert [one.tracking_identifier for one in result.findings] == [
        "tiny-detector Nodule 1",
        "tiny-detector Nodule 2",
        "tiny-detector Mass",
    ]
    told = [
        [(box.sop_instance_uid, box.top, box.left, box.bottom, box.right) for box in one.detection.boxes]
        for one in result.findings
        if one.detection
    ]
    assert told == [
        [
            (images[index].SOPInstanceUID, rows.start, columns.start, rows.stop, columns.stop)
            for index in range(slices.start, slices.stop)
        ]
        for slices, rows, columns, _ in BLOCKS
    ] + [[]]
    assert [one.classification.probability for one in result.findings if one.classification] == [
        1.0,
        pytest.approx(0.9),
        0.0,
    ]
    assert "found on images 4 to 5; 2 of this class reached the threshold" in result.report_text


def test_every_object_draws_the_same_boxes_under_the_same_name(case: tuple[list[Dataset], NewResult]) -> None:
    """Report and presentation state have a box on each slice with one tracking UID; key objects name one slice each."""
    images, result = case
    expected = _drawn(images, result)

    reported = {
        (child(group, "112040").UID, image_of(item.ContentSequence[0].ReferencedSOPSequence[0]), *_ends(item))
        for group in groups_of(_read(result, EvidenceForm.COMPREHENSIVE_3D))
        for item in content_items(group)
        if item.ValueType == "SCOORD" and item.RelationshipType == "CONTAINS"
    }
    drawn = {
        (line.TrackingUID, image_of(annotation.ReferencedImageSequence[0]), *_ends(line))
        for annotation in _read(result, EvidenceForm.PRESENTATION_STATE).GraphicAnnotationSequence
        for line in annotation.GraphicObjectSequence
    }
    selected = [
        image_of(item.ReferencedSOPSequence[0])
        for item in _read(result, EvidenceForm.KEY_OBJECTS).ContentSequence
        if item.ValueType == "IMAGE"
    ]

    assert reported == drawn == expected
    assert set(selected) >= {image_key(images[4]), image_key(images[7])}
    assert len(result.pictures) == 3


def test_dciodvfy_finds_no_error(case: tuple[list[Dataset], NewResult], tmp_path: Path) -> None:
    """Every object is valid (R1, P1, P4)."""
    for place, one in enumerate(case[1].evidence):
        file = tmp_path / f"{place}.dcm"
        file.write_bytes(one.part10)

        run = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False)

        assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == [], one.form


def test_highdicom_reads_volumetric_regions(case: tuple[list[Dataset], NewResult], tmp_path: Path) -> None:
    """Each thing is a volumetric group with a region on each of its slices."""
    (tmp_path / "report.dcm").write_bytes(
        next(one.part10 for one in case[1].evidence if one.form is EvidenceForm.COMPREHENSIVE_3D)
    )

    groups = srread(tmp_path / "report.dcm").content.get_volumetric_roi_measurement_groups()

    assert [len(group.roi) for group in groups] == [2, 2]
