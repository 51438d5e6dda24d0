"""Validators and readers that are not ours judge the "Not analysed" report, on every kind of source series."""

import dataclasses
import html
import re
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from inference.evidence.context import EvidenceContext
from inference.evidence.not_analysed_reasons import REASONS, REPEATED
from inference.evidence.not_analysed_report import (
    NO_STATEMENT,
    SeriesLookedAt,
    build_not_analysed_report,
    not_analysed_text,
)
from storage.domain.job import Reason
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole
from tests.conformance.iod_check import missing_attributes
from tests.conformance.source_modalities import SERIES, segmented

WHY = Reason("body-part-not-accepted", "Body Part Examined is CHEST; Sample organ finder takes HEAD.")
NAMES = [name.replace(" ", "-") for name in SERIES]


def _series(context: EvidenceContext, reason: Reason) -> tuple[SeriesLookedAt, ...]:
    source = context.sources[0]
    other = Reason("modality-not-accepted", "The series is US; Sample organ finder takes CT.")
    return (
        SeriesLookedAt(str(source.SeriesInstanceUID), str(source.Modality), 3, len(context.sources), reason),
        SeriesLookedAt("1.2.826.0.1.3680043.8.498.1.77", "US", None, 1, other),
    )


def _report(context: EvidenceContext, reason: Reason = WHY) -> EvidenceObject:
    return build_not_analysed_report(context, reason, _series(context, reason))


@pytest.fixture(scope="module", params=list(SERIES), ids=NAMES)
def context(request: pytest.FixtureRequest) -> EvidenceContext:
    """Each modality and geometry in turn."""
    return segmented(request.param).context


@pytest.fixture
def ct() -> EvidenceContext:
    """One of them."""
    return segmented("CT axial").context


def _items(dataset: Dataset) -> list[Dataset]:
    return [each for item in dataset.get("ContentSequence", ()) for each in (item, *_items(item))]


def test_dciodvfy_finds_no_error(context: EvidenceContext, tmp_path: Path) -> None:
    """The object is a valid Basic Text SR with nothing mandatory missing (R1)."""
    report = _report(context)
    file = tmp_path / "report.dcm"
    file.write_bytes(report.part10)
    run = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False)
    dataset = dcmread(BytesIO(report.part10))

    assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []
    assert run.returncode == 0
    assert missing_attributes(dataset) == []
    assert (report.role, report.form) == (EvidenceRole.REPORT, EvidenceForm.BASIC_TEXT)
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.11"


def test_dcmtk_shows_the_text(context: EvidenceContext, tmp_path: Path) -> None:
    """DCMTK prints every sentence of the report as a tree and as a page, and its flags (R8, R11)."""
    file, page = tmp_path / "report.dcm", tmp_path / "report.html"
    file.write_bytes(_report(context).part10)

    tree = subprocess.run(["dsrdump", "+Pl", str(file)], capture_output=True, text=True, check=True).stdout
    subprocess.run(["dsr2html", str(file), str(page)], capture_output=True, check=True)

    shown = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8"))).split())
    for sentence in (
        "NOT ANALYSED by Sample organ finder 1.2.3.",
        NO_STATEMENT,
        "Research use only. Not verified by a physician.",
        "Body part not taken",
        REASONS[WHY.code].sentence,
        WHY.sentence,
        "Not analysed: Sample organ finder (RESEARCH, not verified)",
    ):
        assert sentence in tree
        assert sentence in shown
    for flag in ("PRELIMINARY", "COMPLETE", "UNVERIFIED"):
        assert flag in tree


def test_the_report_refers_to_the_images_that_were_looked_at(context: EvidenceContext) -> None:
    """Its evidence names exactly the sources, its study and patient are theirs."""
    dataset = dcmread(BytesIO(_report(context).part10))

    (of_study,) = dataset.CurrentRequestedProcedureEvidenceSequence
    named = {
        str(one.ReferencedSOPInstanceUID)
        for series in of_study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert named == {str(one.SOPInstanceUID) for one in context.sources}
    assert of_study.StudyInstanceUID == dataset.StudyInstanceUID == context.sources[0].StudyInstanceUID
    assert (dataset.PatientID, dataset.PatientName) == (context.sources[0].PatientID, context.sources[0].PatientName)


def test_the_same_job_twice_gives_the_same_bytes(context: EvidenceContext) -> None:
    """Nothing in the report is drawn or of now (S12)."""
    assert _report(context).part10 == _report(context).part10


def test_another_reason_or_other_images_give_another_report(ct: EvidenceContext) -> None:
    """One SOP Instance UID never stands for two contents, and a refusal for the same reason is the same report."""
    identity = dataclasses.replace(ct.identity, input_sha256s=ct.identity.input_sha256s[1:])
    other_images = dataclasses.replace(ct, identity=identity)
    reports = [_report(ct), _report(ct, Reason("gap", "About 1 slices are missing.")), _report(other_images)]

    assert len({one.sop_instance_uid for one in reports}) == 3
    assert len({one.series_instance_uid for one in reports}) == 3


def test_it_is_no_measurement_report(ct: EvidenceContext) -> None:
    """A TID 1500 root without coordinates blanks OHIF's viewport, so root and items are those of a text (R3)."""
    dataset = dcmread(BytesIO(_report(ct).part10))

    assert dataset.ConceptNameCodeSequence[0].CodeValue == "18748-4"
    assert "ContentTemplateSequence" not in dataset
    assert {item.ValueType for item in _items(dataset)} == {"CONTAINER", "TEXT", "CODE", "UIDREF"}


def test_the_private_scheme_is_named(ct: EvidenceContext) -> None:
    """A reader who meets 99OVERREAD finds whose it is (PS3.3 section C.12.1)."""
    (scheme,) = dcmread(BytesIO(_report(ct).part10)).CodingSchemeIdentificationSequence

    assert (scheme.CodingSchemeDesignator, scheme.CodingSchemeResponsibleOrganization) == ("99OVERREAD", "Overread")


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_is_coded_and_said(code: str, ct: EvidenceContext) -> None:
    """The code item carries the reason's own concept, and its plain words stand beside it."""
    dataset = dcmread(BytesIO(_report(ct, Reason(code, "For the test.")).part10))

    coded = [
        (item.ConceptCodeSequence[0].CodeValue, item.ConceptCodeSequence[0].CodingSchemeDesignator)
        for item in _items(dataset)
        if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeValue == "NOT-ANALYSED"
    ]
    concept = REASONS[code].concept
    assert coded[0] == (concept.value, concept.scheme_designator)
    texts = [item.TextValue for item in _items(dataset) if item.ValueType == "TEXT"]
    assert REASONS[code].sentence in texts
    assert ("For the test." in texts) == (code in REPEATED)


@pytest.mark.parametrize("code", [*sorted(set(REASONS) - REPEATED), "of-tomorrow"])
def test_what_a_failure_tells_an_operator_is_not_in_the_report(code: str, ct: EvidenceContext) -> None:
    """A folder of the server and a class of our code stand in no object and no text, of the study or of a series."""
    why = Reason(code, "model.onnx in /srv/algorithms/secret-place is not its file; an unexpected ValueError.")
    report = _report(ct, why).part10
    text = not_analysed_text(ct, why, _series(ct, why))

    for leaked in ("secret-place", "ValueError"):
        assert leaked.encode() not in report
        assert leaked not in text


def test_the_algorithm_is_named_with_its_bytes(ct: EvidenceContext) -> None:
    """Name, version and both digests stand in the report, as in any other result."""
    texts = [item.TextValue for item in _items(dcmread(BytesIO(_report(ct).part10))) if item.ValueType == "TEXT"]

    for said in ("Sample organ finder", "1.2.3", "artifact sha256:" + "a" * 64, "manifest sha256:" + "b" * 64):
        assert said in texts


def test_a_source_of_an_unknown_class_still_gives_a_report(ct: EvidenceContext, tmp_path: Path) -> None:
    """A retired or private class is no reason for silence; patient and study are taken from it all the same."""
    retired = Dataset()
    retired.update(ct.sources[0])
    retired.SOPClassUID = "1.2.840.10008.5.1.4.1.1.6"  # Ultrasound Image Storage (Retired)
    dataset = dcmread(BytesIO(_report(dataclasses.replace(ct, sources=(retired,))).part10))

    assert dataset.PatientName == ct.sources[0].PatientName
    assert dataset.StudyDate == ct.sources[0].StudyDate


def test_the_text_for_a_terminal_says_the_same(ct: EvidenceContext) -> None:
    """It begins with the title, gives the reason in its third paragraph, and names no patient."""
    text = not_analysed_text(ct, WHY, _series(ct, WHY))

    assert text.startswith("NOT ANALYSED by Sample organ finder 1.2.3.\n" + NO_STATEMENT)
    assert WHY.sentence in " ".join(text.split("\n\n")[2].split())
    assert "Series 3, CT, 6 images" in text
    assert "Doe" not in text
