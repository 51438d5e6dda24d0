"""What the report says and what it refers to."""

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from pydicom import Dataset

from inference.evidence.build import EvidenceContext, build_evidence
from inference.evidence.report_text import finding_sentence, report_text
from storage.domain.explanation import reported
from storage.domain.finding import Finding
from storage.domain.result import EvidenceObject, EvidenceRole
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    evidence_dataset,
    make_context,
    make_findings,
    make_labels,
    make_series,
)

Built = tuple[EvidenceContext, tuple[Finding, ...], tuple[EvidenceObject, ...]]


def _build(labels: np.ndarray, series: SourceSeries | None = None) -> Built:
    context = make_context(make_series(series or SourceSeries()))
    findings = make_findings(context, labels, (LIVER, NODULE))
    return context, findings, build_evidence(context, labels, (LIVER, NODULE), findings)


@pytest.fixture(scope="module")
def built() -> Built:
    """A job that found both segments."""
    return _build(make_labels((6, 24, 32)))


@pytest.fixture(scope="module")
def nothing_found() -> Built:
    """A job that found neither."""
    return _build(np.zeros((6, 24, 32), np.uint8))


def _report(built: Built) -> Dataset:
    return evidence_dataset(built[2], EvidenceRole.REPORT)


def _walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from _walk(child)


def _groups(report: Dataset) -> list[Dataset]:
    return [item for item in _walk(report) if item.ValueType == "CONTAINER" and _name(item) == "125007"]


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def _child(group: Dataset, code: str) -> Dataset:
    (found,) = [item for item in group.ContentSequence if _name(item) == code]
    return found


@pytest.mark.parametrize(("slices", "template"), [(1, "1410"), (6, "1411")])
def test_a_segment_of_a_single_image_is_a_planar_region(slices: int, template: str) -> None:
    """TID 1410 with a region on the image, bounded by its line; in a volume TID 1411, which has no such purpose."""
    labels = make_labels((6, 24, 32))[2 : 2 + slices]

    groups = _groups(_report(_build(labels, SourceSeries(shape=labels.shape))))

    assert [group.ContentTemplateSequence[0].TemplateIdentifier for group in groups] == [template] * 2
    purposes = [item for group in groups for item in group.ContentSequence if _name(item) == "130400"]
    assert [one.ConceptCodeSequence[0].CodeValue for one in purposes] == ["75958009"] * (2 if slices == 1 else 0)
    assert [_child(group, "111030").ValueType for group in groups] == ["SCOORD"] * 2


def test_every_group_has_coordinates(built: Built, nothing_found: Built) -> None:
    """No measurement group is without an SCOORD, found or not, because OHIF fails on one that is (R5)."""
    for one in (built, nothing_found):
        groups = _groups(_report(one))
        assert len(groups) == 2
        for group in groups:
            assert [item.GraphicType for item in _walk(group) if item.ValueType == "SCOORD"]
            assert not [item for item in _walk(group) if item.ValueType == "SCOORD3D"]


def test_each_group_names_finding_tracking_and_algorithm(built: Built) -> None:
    """Tracking, finding, category, site and algorithm stand in each group (R4)."""
    context, findings, _ = built
    for group, finding in zip(_groups(_report(built)), findings, strict=True):
        assert _child(group, "112039").TextValue == finding.tracking_identifier
        assert finding.tracking_uid == _child(group, "112040").UID
        assert _child(group, "121071").ConceptCodeSequence[0].CodeValue == finding.kind.value
        assert _child(group, "111001").TextValue == context.algorithm.name
        assert _child(group, "111003").TextValue == context.algorithm.version
        parameters = [item.TextValue for item in group.ContentSequence if _name(item) == "111002"]
        assert f"artifact sha256:{context.algorithm.artifact_sha256}" in parameters
    assert _child(_groups(_report(built))[1], "363698007").ConceptCodeSequence[0].CodeMeaning == "Lung"


def test_tracking_uids_are_those_of_the_segmentation(built: Built) -> None:
    """Segment and measurement group are tied together by the tracking UID (R12)."""
    seg = evidence_dataset(built[2], EvidenceRole.SEGMENTATION)

    reported = {_child(group, "112040").UID for group in _groups(_report(built))}

    assert reported == {item.TrackingUID for item in seg.SegmentSequence}


def test_measurements_keep_value_and_unit(built: Built) -> None:
    """Each measurement is a NUM with the finding's code and UCUM unit, to seven digits."""
    for group, finding in zip(_groups(_report(built)), built[1], strict=True):
        numbers = [item for item in group.ContentSequence if item.ValueType == "NUM"]
        for item, measurement in zip(numbers, finding.measurements, strict=True):
            measured = item.MeasuredValueSequence[0]
            assert _name(item) == measurement.name.value
            assert float(measured.NumericValue) == pytest.approx(measurement.value, rel=1e-6)
            unit = measured.MeasurementUnitsCodeSequence[0]
            assert (unit.CodeValue, unit.CodingSchemeDesignator) == (measurement.unit.value, "UCUM")
            derived = [one.ConceptCodeSequence[0].CodeMeaning for one in item.ContentSequence if _name(one) == "121401"]
            assert derived == ([measurement.derivation.meaning] if measurement.derivation else [])


def test_measurements_name_their_segment(built: Built) -> None:
    """Each number of a found segment says from which segment of which segmentation it was inferred."""
    seg = built[2][0]
    for number, group in enumerate(_groups(_report(built)), start=1):
        for item in (one for one in group.ContentSequence if one.ValueType == "NUM"):
            if [one.ValueType for one in item.ContentSequence] == ["SCOORD"]:
                continue  # a diameter, which names its line
            (source,) = [one for one in item.ContentSequence if one.ValueType == "IMAGE"]
            reference = source.ReferencedSOPSequence[0]
            assert reference.ReferencedSOPInstanceUID == seg.sop_instance_uid
            assert reference.ReferencedSegmentNumber == number


def test_the_outline_lies_on_the_slice_where_the_segment_is_largest(built: Built) -> None:
    """The nodule's region names the image of its largest slice and encloses its pixels there (R7)."""
    context = built[0]
    region = _child(_groups(_report(built))[1], "111030")
    mask = make_labels((6, 24, 32)) == 2
    largest = int(np.argmax(mask.sum(axis=(1, 2))))

    image = region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    points = np.array(region.GraphicData).reshape(-1, 2)

    assert image == context.sources[largest].SOPInstanceUID
    rows, columns = np.nonzero(mask[largest])
    assert points.min(axis=0).tolist() == [columns.min(), rows.min()]
    assert points.max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]


def test_the_evidence_is_closed(built: Built, nothing_found: Built) -> None:
    """Everything the report refers to is in its evidence sequence; the image series first, then the SEG (R6)."""
    for one in (built, nothing_found):
        report = _report(one)
        (study,) = report.CurrentRequestedProcedureEvidenceSequence
        listed = {
            item.ReferencedSOPInstanceUID
            for series in study.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence
        }
        used = {
            reference.ReferencedSOPInstanceUID
            for item in _walk(report)
            for reference in item.get("ReferencedSOPSequence", ())
        }
        assert used <= listed
        assert {image.SOPInstanceUID for image in one[0].sources} <= listed
        series = [item.SeriesInstanceUID for item in study.ReferencedSeriesSequence]
        segmentation = [item.series_instance_uid for item in one[2] if item.role is EvidenceRole.SEGMENTATION]
        assert series == [one[0].sources[0].SeriesInstanceUID, *segmentation]


def test_an_absent_finding_is_said_to_be_absent(nothing_found: Built) -> None:
    """Nothing found is a statement with volume 0, inferred from a whole image, not silence."""
    for group in _groups(_report(nothing_found)):
        (number,) = [item for item in group.ContentSequence if item.ValueType == "NUM"]
        assert float(number.MeasuredValueSequence[0].NumericValue) == 0
        assert number.ContentSequence[0].GraphicData == [0, 0, 32, 0, 32, 24, 0, 24, 0, 0]
        assert _child(group, "121052").ConceptCodeSequence[0].CodeMeaning == "Absent"


def test_an_absent_finding_without_a_number_still_has_coordinates() -> None:
    """An algorithm that measures nothing gets a volume of 0, so that no group is without an SCOORD (R5)."""
    labels = np.zeros((6, 24, 32), np.uint8)
    context = make_context(make_series())
    findings = tuple(replace(one, measurements=()) for one in make_findings(context, labels, (LIVER, NODULE)))

    evidence = build_evidence(context, labels, (LIVER, NODULE), findings)

    for group in _groups(evidence_dataset(evidence, EvidenceRole.REPORT)):
        assert [item for item in _walk(group) if item.ValueType == "SCOORD"]


@pytest.mark.parametrize(("modality", "code"), [("CT", "25045-6"), ("MR", "25056-3")])
def test_the_procedure_is_the_imaging_procedure(modality: str, code: str) -> None:
    """Procedure reported comes from CID 100 and follows the modality."""
    report = _report(_build(make_labels((6, 24, 32)), SourceSeries(modality=modality)))

    assert _child(report, "121058").ConceptCodeSequence[0].CodeValue == code


def test_the_report_is_a_measurement_report_of_a_device(built: Built) -> None:
    """Root, title, language, observer and flags are as readers expect them; no physician is invented."""
    context, report = built[0], _report(built)

    assert _name(report) == "126000"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert _child(report, "121049").ConceptCodeSequence[0].CodeValue == "en-US"
    assert context.identity.device_uid() == _child(report, "121012").UID
    assert "Not verified by a physician." in _child(report, "121013").TextValue
    assert (report.CompletionFlag, report.PreliminaryFlag, report.VerificationFlag) == (
        "COMPLETE",
        "PRELIMINARY",
        "UNVERIFIED",
    )
    assert "VerifyingObserverSequence" not in report


def test_the_text_for_a_terminal_tells_the_result_and_not_the_patient(built: Built) -> None:
    """The plain text has date, series, algorithm, digest, numbers with units and the mark, and no patient."""
    context, findings, evidence = built

    text = report_text(context, findings, evidence)

    for wanted in (
        "2026-03-03",
        context.sources[0].SeriesInstanceUID,
        "Sample organ finder 1.2.3",
        "a" * 64,
        "667.2 mm3",
        "Attenuation Coefficient, mean",
        "-12.35 HU",
        "Research use only. Not verified by a physician.",
        *(one.sop_instance_uid for one in evidence),
    ):
        assert wanted in text
    for secret in ("Doe", "Jane", "PID-0042", "19600102", "ACC-7"):
        assert secret not in text


def test_explain_repeats_what_was_measured(built: Built) -> None:
    """One sentence a structure, with its numbers and units; no line of the text's other parts."""
    context, findings, evidence = built

    told = list(reported(report_text(context, findings, evidence)))

    assert len(told) == len(findings)
    assert any("667.2 mm3" in sentence for sentence in told)
    assert all(re.fullmatch(r"It reports [A-Z][^:]*: \S.*\d.*\.", sentence) for sentence in told), told


def test_the_text_says_how_each_segment_was_chosen(built: Built) -> None:
    """Threshold with its origin and steps stand below the numbers, a line each; `explain` and sentences have them."""
    context, findings, evidence = built
    how = ("threshold 0.4 (chosen on validation)", "postprocessing: keep the largest component")
    told = [replace(findings[0], made_by=how), *findings[1:]]

    text = report_text(context, told, evidence)

    assert f"\n  {how[0]}\n  {how[1]}\n" in text
    assert [all(words in sentence for words in how) for sentence in reported(text)] == [
        True,
        *[False for _ in findings[1:]],
    ]
    assert finding_sentence(told[0], context).endswith(f"; {how[0]}; {how[1]}.")
    assert "threshold" not in finding_sentence(findings[0], context)


def test_the_words_call_a_segment_as_pictures_do(built: Built) -> None:
    """The label comes first; what its codes mean follows where that is something else."""
    context, findings, _ = built
    finding = replace(findings[0], measurements=(), made_by=(), site=None)
    coded = finding.kind.meaning

    assert finding_sentence(replace(finding, label=coded.upper()), context) == f"{coded}."
    assert finding_sentence(replace(finding, label="Left side"), context) == f"Left side ({coded})."


def test_the_text_repeats_what_the_algorithm_is_for(built: Built) -> None:
    """Who reads the result reads in the same place what it may be used for."""
    context, findings, evidence = built
    said = replace(context, algorithm=replace(context.algorithm, intended_use="Research only: outlines organs."))

    assert "Intended use: Research only: outlines organs." in report_text(said, findings, evidence)


def test_the_text_needs_no_study_date(nothing_found: Built) -> None:
    """A source without a study date still has a report in words."""
    context, findings, evidence = nothing_found
    del context.sources[0].StudyDate

    assert "Study date    not given" in report_text(context, findings, evidence)
