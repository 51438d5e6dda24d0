"""Validators and readers that are not ours judge every other kind of object, for every modality and geometry."""

import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from highdicom.ko import KeyObjectSelectionDocument
from highdicom.sr import CodedConcept
from highdicom.sr.utils import find_content_items
from pydicom import Dataset, dcmread

from inference.evidence.build import DEFAULT_FORMS, Segmented, further_evidence
from inference.evidence.drawing import Pen
from inference.evidence.measurement_report import build_measurement_reports
from inference.evidence.segmentation import build_segmentation
from inference.imaging.frames import image_key
from storage.domain.result import EvidenceObject, EvidenceRole
from tests.conformance.iod_check import missing_attributes
from tests.conformance.source_modalities import SERIES, segmented
from tests.peers.multi_frame import files_of, image_of, images_of, single_image

ROLES = (
    EvidenceRole.SECONDARY_CAPTURE,
    EvidenceRole.PRESENTATION_STATE,
    EvidenceRole.DOCUMENT,
    EvidenceRole.KEY_OBJECTS,
    EvidenceRole.PARAMETRIC_MAP,
)


@pytest.fixture(scope="module", params=list(SERIES), ids=[name.replace(" ", "-") for name in SERIES])
def result(request: pytest.FixtureRequest) -> Segmented:
    """Each modality and geometry in turn."""
    return segmented(request.param)


def _written(evidence: tuple[EvidenceObject, ...], folder: Path) -> list[Path]:
    files = [folder / f"{one.role}-{place}.dcm" for place, one in enumerate(evidence)]
    for one, file in zip(evidence, files, strict=True):
        file.write_bytes(one.part10)
    return files


def _read(result: Segmented, role: EvidenceRole) -> list[Dataset]:
    return [dcmread(BytesIO(one.part10)) for one in further_evidence(result, role)]


@pytest.mark.parametrize("role", ROLES)
def test_dciodvfy_finds_no_error(result: Segmented, role: EvidenceRole, tmp_path: Path) -> None:
    """dciodvfy accepts every kind of object of every modality and geometry (P1, P4, P6, P7)."""
    evidence = further_evidence(result, role)

    assert evidence or role is EvidenceRole.PARAMETRIC_MAP  # of which sources there is none, its own tests say
    for file in _written(evidence, tmp_path):
        run = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False)

        assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []
        assert run.returncode == 0


@pytest.mark.parametrize("role", ROLES)
def test_every_mandatory_attribute_is_there(result: Segmented, role: EvidenceRole) -> None:
    """No attribute of type 1 or 2 of a mandatory module is missing in the Standard's own tables."""
    for dataset in _read(result, role):
        assert missing_attributes(dataset) == []


def test_pictures_are_marked_as_written_on_and_name_no_patient(
    result: Segmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each picture of each source says Burned In Annotation YES; nothing written in it is the patient's (P4)."""
    written: list[str] = []
    write, fill_in = Pen.text, Pen.tag
    monkeypatch.setattr(
        Pen, "text", lambda pen, at, words, *more: (written.append(words), write(pen, at, words, *more))
    )
    monkeypatch.setattr(
        Pen, "tag", lambda pen, at, words, *more: (written.append(words), fill_in(pen, at, words, *more))
    )

    result = replace(result)  # one that no test has drawn before

    pictures = _read(result, EvidenceRole.SECONDARY_CAPTURE)

    assert len(pictures) == len(result.key_indices()) + 1
    for one in pictures:
        assert one.BurnedInAnnotation == "YES"
        assert one.BodyPartExamined == result.context.sources[0].BodyPartExamined
        assert result.context.mark in one.ImageComments
    assert written.count(result.context.short_mark) == len(pictures)
    words = "\n".join(written)
    source = result.context.sources[0]
    for keyword in (
        "PatientID",
        "PatientBirthDate",
        "AccessionNumber",
        "StudyDate",
        "StudyInstanceUID",
        "InstitutionName",
    ):
        assert str(source[keyword].value) not in words
    for name in ("Doe", "Jane", "Roe", "Richard"):
        assert name not in words


def test_dcmpschk_passes_the_presentation_state(result: Segmented, tmp_path: Path) -> None:
    """DCMTK finds grayscale presentation states consistent (P1)."""
    states = further_evidence(result, EvidenceRole.PRESENTATION_STATE)

    for file in _written(states, tmp_path):
        if result.context.sources[0].Modality == "US":
            assert dcmread(file).SOPClassUID.name == "Color Softcopy Presentation State Storage"
            continue
        run = subprocess.run(["dcmpschk", str(file)], capture_output=True, text=True, check=False)

        assert run.stderr.strip().endswith("Test passed."), run.stderr


def test_dcmp2pgm_draws_each_image_with_its_presentation_state(result: Segmented, tmp_path: Path) -> None:
    """DCMTK renders the image as the state says, which is as the image itself says (P2, source window copied)."""
    if result.context.sources[0].Modality == "US":
        return
    states = further_evidence(result, EvidenceRole.PRESENTATION_STATE)
    for state_file, state in zip(
        _written(states, tmp_path), _read(result, EvidenceRole.PRESENTATION_STATE), strict=True
    ):
        reference = state.ReferencedSeriesSequence[0].ReferencedImageSequence[0]
        key = sorted(images_of(reference, result.context.sources))[0]
        (image,) = [one for one in result.context.sources if image_key(one) == key]
        (file,) = [one for one in files_of(result.context.sources) if one.SOPInstanceUID == image.SOPInstanceUID]
        image_file = tmp_path / "image.dcm"
        file.save_as(image_file, enforce_file_format=True)
        frame = ["-f", str(key[1])] if key[1] is not None else []

        alone = single_image(image)  # DCMTK looks for the window of a frame where a single image has it
        alone.save_as(tmp_path / "alone.dcm", enforce_file_format=True)
        pictures = []
        for options in ([tmp_path / "alone.dcm"], [*frame, "-p", state_file, image_file]):
            picture = tmp_path / "picture.pgm"
            subprocess.run(["dcmp2pgm", *options, picture], capture_output=True, check=True)
            pictures.append(picture.read_bytes())

        assert len(pictures[1]) > int(image.Rows) * int(image.Columns)
        assert pictures[0] == pictures[1]


def test_lines_and_mark_lie_inside_the_images_that_carry_them(result: Segmented) -> None:
    """Each referenced image has lines that enclose its labels, and the mark, all inside it (P3); no other is."""
    sources = {image_key(one): place for place, one in enumerate(result.context.sources)}
    shown = set()
    for state in _read(result, EvidenceRole.PRESENTATION_STATE):
        (layer,) = state.GraphicLayerSequence
        images = state.ReferencedSeriesSequence[0].ReferencedImageSequence
        referenced = set().union(*(images_of(one, result.context.sources) for one in images))
        assert len({one.ReferencedSOPInstanceUID for one in images}) == len(images)
        drawn = set()
        for annotation in state.GraphicAnnotationSequence:
            assert annotation.GraphicLayer == layer.GraphicLayer == "AI"
            uid = image_of(annotation.ReferencedImageSequence[0])
            drawn.add(uid)
            plane = result.labels[sources[uid]]
            points = [np.array(one.GraphicData).reshape(-1, 2) for one in annotation.GraphicObjectSequence]
            rows, columns = np.nonzero(plane)
            every = np.concatenate(points)
            assert every.min(axis=0).tolist() == [columns.min(), rows.min()]
            assert every.max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]
            text, *lengths = annotation.TextObjectSequence
            assert text.UnformattedTextValue.splitlines()[0] == result.context.short_mark
            right, bottom = text.BoundingBoxBottomRightHandCorner
            assert 0 < right <= plane.shape[1]
            assert 0 < bottom <= plane.shape[0]
            assert [(one.UnformattedTextValue, one.AnchorPoint, one.TrackingUID) for one in lengths] == [
                ("17.2 mm", list(measurement.line.image_points[1]), one.finding.tracking_uid)
                for one in result.found
                for measurement in one.finding.measurements
                if measurement.line is not None and measurement.line.image == uid
            ]
            ends = [part.tolist() for part in points if len(part) == 2]
            assert len(ends) == len(lengths)
            assert [end[1] for end in ends] == [list(one.AnchorPoint) for one in lengths]
        assert drawn == referenced
        shown |= drawn
    measured = {m.line.image for one in result.found for m in one.finding.measurements if m.line is not None}
    assert measured
    assert measured <= shown
    with_labels = {uid for uid, place in sources.items() if result.labels[place].any()}
    if result.context.sources[0].Modality == "PT":
        assert shown == {image_key(result.context.sources[place]) for place in result.key_indices()}
    else:
        assert shown == with_labels


def test_one_finding_has_one_tracking_uid_in_all_objects(result: Segmented) -> None:
    """Segmentation, report and presentation state name each finding by the same identifiers (R12)."""
    segmentation = build_segmentation(result.context, result.labels, result.found)
    (report,) = build_measurement_reports(result.context, result.labels, result.found, segmentation, DEFAULT_FORMS)
    seg, sr = (dcmread(BytesIO(one.part10)) for one in (segmentation, report))

    of_segments = {(str(one.TrackingID), str(one.TrackingUID)) for one in seg.SegmentSequence}
    of_lines = {
        (str(one.TrackingID), str(one.TrackingUID))
        for state in _read(result, EvidenceRole.PRESENTATION_STATE)
        for annotation in state.GraphicAnnotationSequence
        for one in annotation.GraphicObjectSequence
    }
    texts, uids = (
        find_content_items(sr, name=CodedConcept(value, "DCM", meaning), recursive=True)
        for value, meaning in (("112039", "Tracking Identifier"), ("112040", "Tracking Unique Identifier"))
    )
    of_groups = {(str(a.TextValue), str(b.UID)) for a, b in zip(texts, uids, strict=True)}

    assert of_segments == of_lines == of_groups
    assert len(of_segments) == len([one for one in result.found if one.number])


def test_key_objects_are_the_largest_slices(result: Segmented) -> None:
    """The selection has the title Of Interest and names the slices where segments are largest, once each."""
    (selection,) = _read(result, EvidenceRole.KEY_OBJECTS)

    (title,) = selection.ConceptNameCodeSequence
    chosen = [
        image_of(item.ReferencedSOPSequence[0]) for item in selection.ContentSequence if item.ValueType == "IMAGE"
    ]
    evidence = selection.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113000", "DCM")
    assert chosen == [image_key(result.context.sources[place]) for place in result.key_indices()]
    assert sorted(str(one.ReferencedSOPInstanceUID) for one in evidence) == sorted({uid for uid, _ in chosen})
    (words,) = [one for one in selection.ContentSequence if str(one.get("TextValue", "")).startswith("Key images")]
    assert result.context.mark in words.TextValue
    assert len(KeyObjectSelectionDocument.from_dataset(selection).content.get_references()) == len(chosen)
