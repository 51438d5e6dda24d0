"""Other people's programs judge what comes of a detection, from the images to the last object."""

import json
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from highdicom.sr import srread
from pydicom import Dataset, dcmread
from pydicom.uid import ColorSoftcopyPresentationStateStorage, DigitalXRayImageStorageForPresentation

from inference.acceptance.acceptance_set import AcceptanceCase
from inference.acceptance.judging import judged
from inference.algorithms.folder import verify
from inference.imaging.frames import image_key
from storage.domain.result import EvidenceForm, EvidenceRole, NewResult
from tests.conformance.every_evidence import MEASUREMENT_FORMS, child, content_items, groups_of
from tests.conformance.iod_check import missing_attributes
from tests.conformance.source_detection import STACK, colour_image, detected, images_with_squares
from tests.peers.multi_frame import image_of
from tests.peers.report_validator import pixelmed_says
from tests.peers.tiny_detector import write_tiny_detector


def _radiograph() -> tuple[Dataset, ...]:
    image = images_with_squares()[2]
    image.SOPClassUID, image.Modality = DigitalXRayImageStorageForPresentation, "DX"
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "PixelSpacing"):
        delattr(image, keyword)
    del image.PositionReferenceIndicator, image.SliceThickness
    image.ImagerPixelSpacing, image.PatientOrientation = [0.2, 0.2], ["L", "F"]
    return (image,)


CASES = {
    "found": images_with_squares,
    "sagittal": lambda: images_with_squares(series=replace(STACK, orientation="sagittal", reverse=True)),
    "nothing": lambda: images_with_squares(shown=False),
    "radiograph": _radiograph,
    "colour": lambda: colour_image("RGB"),
    "palette": lambda: colour_image("PALETTE COLOR"),
}


@pytest.fixture(scope="module", params=list(CASES))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, NewResult]:
    """Each kind of outcome in turn."""
    return request.param, detected(tmp_path_factory.mktemp(request.param), CASES[request.param]())


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> NewResult:
    """The stack with two things in it."""
    return detected(tmp_path_factory.mktemp("two things"), images_with_squares())


def _read(result: NewResult, form: EvidenceForm) -> Dataset:
    (one,) = [each for each in result.evidence if each.form is form]
    return dcmread(BytesIO(one.part10))


def test_dciodvfy_finds_no_error(case: tuple[str, NewResult], tmp_path: Path) -> None:
    """Reports, pictures, presentation states, document and key objects are valid (R1, P1, P4)."""
    _, result = case
    assert {one.role for one in result.evidence} >= {
        EvidenceRole.REPORT,
        EvidenceRole.SECONDARY_CAPTURE,
        EvidenceRole.DOCUMENT,
        EvidenceRole.KEY_OBJECTS,
    }
    for place, one in enumerate(result.evidence):
        file = tmp_path / f"{place}.dcm"
        file.write_bytes(one.part10)

        run = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False)

        assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == [], one.form
        assert missing_attributes(dcmread(BytesIO(one.part10))) == []


def test_pixelmed_finds_no_error(tmp_path: Path, found: NewResult) -> None:
    """Each class of report holds to TID 1500, 1410 and 1411 (R2)."""
    reports = {form: next(one.part10 for one in found.evidence if one.form is form) for form in MEASUREMENT_FORMS}

    for name, lines in pixelmed_says(reports, tmp_path).items():
        assert [line for line in lines if line.startswith("Error")] == [], name
        assert "Found Root Template TID_1500 (MeasurementReport)" in lines


def test_dcmpschk_passes_the_presentation_state(tmp_path: Path, found: NewResult) -> None:
    """DCMTK finds nothing wrong with the boxes (P1)."""
    (tmp_path / "state.dcm").write_bytes(
        next(one.part10 for one in found.evidence if one.form is EvidenceForm.PRESENTATION_STATE)
    )

    run = subprocess.run(["dcmpschk", str(tmp_path / "state.dcm")], capture_output=True, text=True, check=False)

    assert "Test passed" in run.stdout + run.stderr, run.stdout + run.stderr


def test_the_findings_are_the_squares(found: NewResult) -> None:
    """The square on three slices is one finding, at its true edges on each; the class without any is absent."""
    assert [one.tracking_identifier for one in found.findings] == [
        "tiny-detector Nodule 1",
        "tiny-detector Nodule 2",
        "tiny-detector Mass",
    ]
    boxes = [
        [(box.top, box.left, box.bottom, box.right) for box in one.detection.boxes]
        for one in found.findings
        if one.detection
    ]
    assert boxes == [[(8, 16, 16, 24)] * 3, [(40, 44, 48, 52)], []]
    said = [
        (one.classification.present, one.classification.probability) for one in found.findings if one.classification
    ]
    assert said == [(True, 1.0), (True, pytest.approx(0.9)), (False, 0.0)]


@pytest.mark.parametrize("photometric", ["RGB", "PALETTE COLOR"])
def test_what_is_found_in_colours_is_drawn_on_colours(tmp_path: Path, photometric: str) -> None:
    """The squares are found by their luminance; the presentation state is one for colour images (PS3.3 A.33.2)."""
    result = detected(tmp_path, colour_image(photometric))

    boxes = [box for one in result.findings if one.detection for box in one.detection.boxes]
    assert [(box.top, box.left, box.bottom, box.right) for box in boxes] == [(8, 16, 16, 24), (40, 44, 48, 52)]
    assert [box.score for box in boxes] == pytest.approx([1, 230 / 255], abs=1e-4)
    state = _read(result, EvidenceForm.PRESENTATION_STATE)
    assert state.SOPClassUID == ColorSoftcopyPresentationStateStorage


def test_every_object_draws_the_same_boxes_under_the_same_name(found: NewResult) -> None:
    """Report and presentation state have each box on its image, with one tracking UID (R12)."""
    expected = {
        (one.tracking_uid, (box.sop_instance_uid, box.frame_number), (box.left, box.top), (box.right, box.bottom))
        for one in found.findings
        if one.detection
        for box in one.detection.boxes
    }
    for form in MEASUREMENT_FORMS:
        told = {
            (child(group, "112040").UID, image_of(item.ContentSequence[0].ReferencedSOPSequence[0]), *_ends(item))
            for group in groups_of(_read(found, form))
            for item in content_items(group)
            if item.ValueType == "SCOORD" and item.RelationshipType == "CONTAINS"
        }
        assert told == expected
    drawn = {
        (line.TrackingUID, image_of(annotation.ReferencedImageSequence[0]), *_ends(line))
        for annotation in _read(found, EvidenceForm.PRESENTATION_STATE).GraphicAnnotationSequence
        for line in annotation.GraphicObjectSequence
    }
    assert drawn == expected


def _ends(item: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    points = np.array(item.GraphicData, float).reshape(-1, 2)
    assert points[0].tolist() == points[-1].tolist()
    return tuple(points.min(axis=0).tolist()), tuple(points.max(axis=0).tolist())


def test_key_objects_are_the_images_where_things_are_surest(found: NewResult) -> None:
    """And the one that stands for a class of which nothing was found."""
    images = images_with_squares()
    selected = [
        image_of(item.ReferencedSOPSequence[0])
        for item in _read(found, EvidenceForm.KEY_OBJECTS).ContentSequence
        if item.ValueType == "IMAGE"
    ]

    assert selected == [image_key(images[index]) for index in (2, 3, 4)]


def test_highdicom_reads_the_regions(tmp_path: Path, found: NewResult) -> None:
    """A thing on several slices is a volumetric group, on one a planar one, and each has its certainty."""
    (tmp_path / "report.dcm").write_bytes(
        next(one.part10 for one in found.evidence if one.form is EvidenceForm.COMPREHENSIVE_3D)
    )
    content = srread(tmp_path / "report.dcm").content

    (volumetric,) = content.get_volumetric_roi_measurement_groups()
    (planar,) = content.get_planar_roi_measurement_groups()

    images = images_with_squares()
    shown = [image_of(region.ContentSequence[0].ReferencedSOPSequence[0]) for region in volumetric.roi]
    assert shown == [image_key(images[index]) for index in (2, 1, 3)]
    assert volumetric.tracking_uid == found.findings[0].tracking_uid
    assert planar.tracking_uid == found.findings[1].tracking_uid
    certainty = [group.get_measurements()[0].value for group in (volumetric, planar)]
    assert certainty == pytest.approx([100, 90], abs=1e-4)


def test_dcmqi_reads_every_group(tmp_path: Path, found: NewResult) -> None:
    """The reader behind 3D Slicer's plugin finds each thing with its certainty (R4)."""
    (tmp_path / "report.dcm").write_bytes(
        next(one.part10 for one in found.evidence if one.form is EvidenceForm.COMPREHENSIVE_3D)
    )
    files = ["--inputDICOM", tmp_path / "report.dcm", "--outputMetadata", tmp_path / "report.json"]

    run = subprocess.run([Path(sys.executable).parent / "tid1500reader", *files], capture_output=True, check=False)

    assert run.returncode == 0, run.stderr.decode(errors="replace")
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["Measurements"]
    assert [one["TrackingUniqueIdentifier"] for one in told] == [one.tracking_uid for one in found.findings]


def test_a_report_of_nothing_names_what_was_looked_for(tmp_path: Path) -> None:
    """Silence is never read as negative: each class is absent, in words and in codes."""
    result = detected(tmp_path, images_with_squares(shown=False))

    assert "AI DETECTION REPORT" in result.report_text
    assert "Nodule: none found (threshold 0.50, chosen on validation)" in result.report_text
    assert "Mass: none found (threshold 0.60, chosen on validation)" in result.report_text
    assert "0.00" not in result.report_text
    for group in groups_of(_read(result, EvidenceForm.COMPREHENSIVE_3D)):
        assert child(group, "121052").ConceptCodeSequence[0].CodeValue == "121054"
        assert child(group, "246432004").MeasuredValueSequence[0].NumericValue == 0  # Number of occurrences
        assert "111012" not in [item.ConceptNameCodeSequence[0].CodeValue for item in content_items(group)]
    sentences = [
        item.TextValue for item in content_items(_read(result, EvidenceForm.BASIC_TEXT)) if "TextValue" in item
    ]
    assert "Nodule: none found (threshold 0.50, chosen on validation)." in sentences
    rows = _document_words(result, tmp_path)
    assert "Nodule none found 0.50 Mass none found 0.60" in rows
    assert "Thresholds Nodule: 0.5 (chosen on validation) Mass: 0.6 (chosen on validation)" in rows


def _document_words(result: NewResult, folder: Path) -> str:
    document = _read(result, EvidenceForm.DOCUMENT)
    (folder / "document.pdf").write_bytes(document.EncapsulatedDocument)
    run = ["pdftotext", "-layout", str(folder / "document.pdf"), "-"]
    return " ".join(subprocess.run(run, check=True, capture_output=True, text=True).stdout.split())
    assert [one.form for one in result.evidence if one.role is EvidenceRole.PRESENTATION_STATE] == []


def test_the_report_in_words_says_where_things_are(found: NewResult) -> None:
    """A radiologist reads class, certainty, threshold with its origin, and the images."""
    assert "Nodule 1: found; highest probability 1.00 on image 3, threshold 0.50 (chosen on validation)" in (
        found.report_text
    )
    assert "found on images 2 to 4; 2 of this class reached the threshold" in found.report_text


def test_the_same_job_twice_gives_the_same_bytes(tmp_path: Path, found: NewResult) -> None:
    """Evidence and pictures are functions of the job (S12)."""
    again = detected(tmp_path, images_with_squares())

    assert [one.part10 for one in again.evidence] == [one.part10 for one in found.evidence]
    assert [one.png for one in again.pictures] == [one.png for one in found.pictures]


def test_an_acceptance_set_speaks_of_classes(tmp_path: Path, found: NewResult) -> None:
    """A case expects a class, whatever the number of things found, and the certainty of the surest."""
    manifest = verify(write_tiny_detector(tmp_path)).manifest
    case = AcceptanceCase.model_validate(
        {"name": "two", "study": "1.2", "labels": ["Nodule"], "classes": [{"label": "Nodule", "probability": [1, 1]}]}
    )

    outcome = judged(case, tmp_path, manifest, found)

    assert [(check.words, check.holds) for check in outcome.checks] == [
        ("finds Nodule, expected Nodule", True),
        ("Nodule probability 1.0000, from 1 to 1", True),
    ]
