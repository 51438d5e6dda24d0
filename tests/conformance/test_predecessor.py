"""A report that follows another: validators that are not ours judge it in every form."""

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from inference.evidence.rejection_note import build_rejection_note
from storage.domain.earlier_result import EarlierResult, SentObject
from storage.domain.result import EvidenceForm, EvidenceRole
from tests.conformance.every_evidence import (
    EARLIER_REPORTS,
    EARLIER_SENT,
    MEASUREMENT_FORMS,
    Evidence,
    late_evidence_of,
)
from tests.conformance.source_modalities import segmented
from tests.peers.report_validator import pixelmed_says

_REPORT_FORMS = (*MEASUREMENT_FORMS, EvidenceForm.BASIC_TEXT)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """All forms of a result on a CT that follows one on 4 images, which had a report in two forms."""
    return late_evidence_of(segmented("CT axial"))


def test_dciodvfy_finds_no_error(evidence: Evidence, tmp_path: Path) -> None:
    """The attribute is in each report, in no other object, and valid (PS3.3 section C.17.2, R1)."""
    for one, data_set in evidence.read:
        (tmp_path / "object.dcm").write_bytes(one.part10)
        run = subprocess.run(["dciodvfy", "-new", str(tmp_path / "object.dcm")], capture_output=True, text=True)

        said = [line for line in (run.stdout + run.stderr).splitlines() if "redecessor" in line]
        assert said == [], one.form
        if one.role in (EvidenceRole.REPORT, EvidenceRole.REJECTION_NOTE):
            assert "Error" not in run.stdout + run.stderr, one.form
        assert ("PredecessorDocumentsSequence" in data_set) == (one.role is EvidenceRole.REPORT), one.form


def test_pixelmed_finds_no_error(evidence: Evidence, tmp_path: Path) -> None:
    """Each class of report still holds to its template (R2), and so does the note on the earlier result."""
    forms = (*MEASUREMENT_FORMS, EvidenceForm.REJECTION_NOTE)
    reports = {form: next(one.part10 for one in evidence.objects if one.form is form) for form in forms}

    for name, lines in pixelmed_says(reports, tmp_path).items():
        assert [line for line in lines if line.startswith("Error")] == [], name


def test_a_note_rejects_what_was_sent_of_the_earlier_result(evidence: Evidence) -> None:
    """Title of CID 7010, each object once in content and evidence list, and nothing else (RAD-66, TID 2010)."""
    note = evidence.of_form(EvidenceForm.REJECTION_NOTE)
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    listed = [
        (instance.ReferencedSOPInstanceUID, series.SeriesInstanceUID)
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    named = [item for item in note.ContentSequence if item.ValueType == "COMPOSITE"]

    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    assert sorted(listed) == [("1.2.1", "1.2.2"), ("1.2.5", "1.2.6")]
    assert [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in named] == ["1.2.5", "1.2.1"]
    assert [item for item in note.ContentSequence if item.ValueType == "IMAGE"] == []
    assert (study.StudyInstanceUID, note.PatientID) == (
        evidence.context.sources[0].StudyInstanceUID,
        evidence.context.sources[0].PatientID,
    )


@pytest.mark.parametrize("sent", [(), None])
def test_nothing_that_arrived_nowhere_is_rejected(sent: tuple[SentObject, ...] | None) -> None:
    """Nor is there a note where no result is followed."""
    context = segmented("CT axial").context
    earlier = EarlierResult(7, 1, context.started_at, 4, "c" * 64, (), same_version=True, sent=sent or ())

    assert build_rejection_note(replace(context, predecessor=None if sent is None else earlier)) == ()
    assert replace(earlier, sent=EARLIER_SENT).sent_to({"pacs"}).sent == EARLIER_SENT[1:]


@pytest.mark.parametrize("form", _REPORT_FORMS)
def test_a_report_names_the_earlier_one_in_its_own_form(evidence: Evidence, form: EvidenceForm) -> None:
    """A destination that takes this form was sent that one; where there was none, all that were made are named."""
    (study,) = evidence.of_form(form).PredecessorDocumentsSequence
    named = [
        (instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID, series.SeriesInstanceUID)
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]

    expected = [EARLIER_REPORTS[form]] if form in EARLIER_REPORTS else list(EARLIER_REPORTS.values())
    assert named == [(one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid) for one in expected]
    assert study.StudyInstanceUID == evidence.context.sources[0].StudyInstanceUID


def test_the_pdf_and_the_report_in_sentences_say_it_in_words(evidence: Evidence, tmp_path: Path) -> None:
    """Whoever has no reader of attributes learns which result was before, by its time and its images."""
    document = evidence.of_form(EvidenceForm.DOCUMENT)
    file = tmp_path / "summary.pdf"
    file.write_bytes(document.EncapsulatedDocument[: document.EncapsulatedDocumentLength])
    pdf = subprocess.run(["pdftotext", "-layout", str(file), "-"], check=True, capture_output=True, text=True).stdout
    sentences = evidence.of_form(EvidenceForm.BASIC_TEXT).ContentSequence[-1].ContentSequence
    before = evidence.context.local_started_at - timedelta(hours=1)

    for text in (pdf, sentences[-1].TextValue):
        words = " ".join(text.split())
        assert f"the result of {before:%Y-%m-%d %H:%M:%S %z}, on 4 images" in words
        assert "the study has changed since" in words
