"""Structures whose names the images' character set cannot hold, in every object and in the eyes of other readers."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.evidence.build import Segmented, build_evidence
from inference.evidence.segment_findings import pair
from storage.domain.coded_concept import CodedConcept
from storage.domain.result import EvidenceForm
from tests.conformance.every_evidence import BINARY_FORMS, EVERY_FORM, MEASUREMENT_FORMS, Evidence
from tests.conformance.source_modalities import CT
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    make_context,
    make_findings,
    make_labels,
    make_probabilities,
    make_series,
)
from tests.conformance.test_evidence_of_every_source import LABEL_MAP_ERRORS

LEFT, RIGHT = "左腎", "右腎"
SEGMENTS = tuple(
    replace(segment, label=name, type=CodedConcept("64033007", "SCT", name), site=None)
    for segment, name in ((LIVER, LEFT), (NODULE, RIGHT))
)
NAME = "Buc^Jérôme"
PICTURES = (EvidenceForm.SECONDARY_CAPTURE, EvidenceForm.DOCUMENT, EvidenceForm.KEY_OBJECTS)


@pytest.fixture(scope="module", params=["ISO_IR 100", None], ids=["latin-1", "default"])
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Every object of two kidneys with Japanese names."""
    name = NAME if request.param else "Doe^Jane"
    context = make_context(make_series(replace(CT, patient_name=name, character_set=request.param)))
    labels = make_labels(CT.shape)
    findings = make_findings(context, labels, SEGMENTS)
    probabilities = make_probabilities(labels)
    result = Segmented(context, labels, pair(labels, SEGMENTS, findings), probabilities)
    return Evidence(result, build_evidence(context, labels, SEGMENTS, findings, EVERY_FORM, probabilities))


def _told(command: list[str], file: Path) -> str:
    run = subprocess.run([*command, file], capture_output=True, check=False)
    return (run.stdout + run.stderr).decode("utf-8", errors="replace")


def _as_json(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(_told(["dcm2json"], file))
    return read


def test_every_object_is_valid_and_of_the_same_patient(evidence: Evidence, tmp_path: Path) -> None:
    """dciodvfy finds no error; objects with the names are in UTF-8, others as the images; DCMTK reads the patient."""
    source = evidence.context.sources[0]
    for place, (one, data_set) in enumerate(evidence.read):
        file = tmp_path / f"{place}.dcm"
        file.write_bytes(one.part10)
        errors = [line for line in _told(["dciodvfy", "-new"], file).splitlines() if line.startswith("Error")]
        known = LABEL_MAP_ERRORS if one.form is EvidenceForm.LABEL_MAP else []
        assert [line for line in errors if line not in known] == [], one.form
        pictured = one.form in PICTURES
        character_set = source.get("SpecificCharacterSet") if pictured else "ISO_IR 192"
        assert data_set.get("SpecificCharacterSet") == character_set, one.form
        assert data_set.PatientName == source.PatientName
        if not pictured:
            assert f"[{source.PatientName}]" in _told(["dcmdump", "+P", "PatientName"], file)


def test_both_names_are_in_segmentation_and_structure_set(evidence: Evidence, tmp_path: Path) -> None:
    """pydicom and DCMTK read one structure of each name."""
    mask, contours = evidence.of_form(*BINARY_FORMS), evidence.of_form(EvidenceForm.STRUCTURE_SET)
    file = tmp_path / "object.dcm"

    assert [item.SegmentLabel for item in mask.SegmentSequence] == [LEFT, RIGHT]
    assert [item.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for item in mask.SegmentSequence] == [LEFT, RIGHT]
    mask.save_as(file)
    assert [item["00620005"]["Value"] for item in _as_json(file)["00620002"]["Value"]] == [[LEFT], [RIGHT]]

    assert [item.ROIName for item in contours.StructureSetROISequence] == [LEFT, RIGHT]
    contours.save_as(file)
    assert [item["30060026"]["Value"] for item in _as_json(file)["30060020"]["Value"]] == [[LEFT], [RIGHT]]


@pytest.mark.parametrize("form", [*MEASUREMENT_FORMS, EvidenceForm.BASIC_TEXT])
def test_both_names_are_in_every_report(evidence: Evidence, form: EvidenceForm, tmp_path: Path) -> None:
    """dsrdump prints them, and the patient."""
    file = tmp_path / "report.dcm"
    (part10,) = [one.part10 for one in evidence.objects if one.form is form]
    file.write_bytes(part10)

    text = _told(["dsrdump"], file)

    assert LEFT in text
    assert RIGHT in text
    assert str(evidence.context.sources[0].PatientName) in text
