"""PixelMed judges the reports of every encoder, class and modality by the templates and context groups of PS3.16."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from inference.algorithms.image_scoring import Highest
from inference.evidence.build import Segmented, build_classification_evidence
from inference.evidence.segment_findings import pair
from storage.domain.result import EvidenceForm, EvidenceObject
from tests.conformance.digests import CLASSIFIED
from tests.conformance.every_evidence import (
    EVERY_FORM,
    MEASUREMENT_FORMS,
    SEGMENTS,
    evidence_of,
    evidence_of_source,
)
from tests.conformance.source_classification import HAEMORRHAGE, TUMOUR, classified, corner_map
from tests.conformance.source_modalities import SERIES, segmented
from tests.conformance.source_series import make_findings
from tests.peers.report_validator import pixelmed_says

# One source of each modality. The classes of report have the same content, so they take turns among them.
MODALITIES = {SERIES[name]()[0].Modality: name for name in reversed(SERIES)}
# Of those that are written for every modality alike, each class is judged once.
ENCODERS = ("measurements", "classification", "nothing found", "no map")
_NOT_IN = "Content Item not in template"
# What PixelMed of 2022 warns of, and why it is right all the same.
KNOWN_WARNINGS = {
    ('CODE (276214006,SCT,"Finding category")', _NOT_IN): "a row of TID 1411 and 1501 that its tables lack",
    ('CODE (130400,DCM,"Geometric purpose of region")', _NOT_IN): "a row of TID 1410 that its tables lack",
    ('TEXT (122405,DCM,"Algorithm Manufacturer")', _NOT_IN): "a row of TID 4019 that its tables lack",
    ('CODE (121052,DCM,"Presence of property")', _NOT_IN): "a qualitative evaluation, whose name TID 1501 leaves open",
}


def _of_form(objects: Sequence[EvidenceObject], form: EvidenceForm) -> bytes:
    (part10,) = [one.part10 for one in objects if one.form is form]
    return part10


def _nothing_found(name: str) -> tuple[EvidenceObject, ...]:
    result = segmented(name)
    labels = result.labels * 0
    findings = make_findings(result.context, labels, SEGMENTS)
    return evidence_of(Segmented(result.context, labels, pair(labels, SEGMENTS, findings))).objects


def _classification(name: str, folder: Path, mapped: bool) -> tuple[EvidenceObject, ...]:
    images = SERIES[name]()
    scores = [Highest(0, 0.93, corner_map() if mapped else None), Highest(len(images) - 1, 0.31, None)]
    case = classified(folder, scores, images, [TUMOUR, HAEMORRHAGE])
    return build_classification_evidence(case.context, case.keys, case.drawn, EVERY_FORM)


def _objects(encoder: str, name: str, folder: Path) -> tuple[EvidenceObject, ...]:
    if encoder == "measurements":
        return evidence_of_source(name).objects
    if encoder == "nothing found":
        return _nothing_found(name)
    return _classification(name, folder, mapped=encoder == "classification")


def _cases() -> list[tuple[str, str, EvidenceForm]]:
    """Encoder, source and class: both encoders with every modality that they take, every content with each class."""
    cases = []
    for encoder in ENCODERS:
        taken = [name for name in MODALITIES.values() if encoder == "measurements" or name in CLASSIFIED]
        if encoder not in ENCODERS[:2]:
            taken = taken[: len(MEASUREMENT_FORMS)]
        cases += [(encoder, name, MEASUREMENT_FORMS[place % 3]) for place, name in enumerate(taken)]
    return cases


@pytest.fixture(scope="module")
def pixelmed_verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is said of each report and of a key object selection."""
    folder = tmp_path_factory.mktemp("reports")
    reports = {}
    for encoder, name, form in _cases():
        objects = _objects(encoder, name, folder / f"{encoder} {name}")
        reports[f"{encoder}, {name}, {form}"] = _of_form(objects, form)
    reports["key objects"] = _of_form(evidence_of_source("CT axial").objects, EvidenceForm.KEY_OBJECTS)
    return pixelmed_says(reports, folder)


def test_every_modality_and_class_is_judged() -> None:
    """Each encoder is seen with all seven modalities, but for ultrasound in colour, and with each class of report."""
    cases = _cases()

    assert set(MODALITIES) == {"CT", "MR", "PT", "CR", "DX", "MG", "US"}
    for encoder in ENCODERS:
        assert {form for one, _, form in cases if one == encoder} == set(MEASUREMENT_FORMS)
    judged = [{name for one, name, _ in cases if one == encoder} for encoder in ENCODERS[:2]]
    assert judged == [set(MODALITIES.values()), set(MODALITIES.values()) - {"US"}]


def test_pixelmed_finds_no_error_in_a_measurement_report(pixelmed_verdicts: dict[str, list[str]]) -> None:
    """Content items, their order, context groups and relationships are those of TID 1500 and below (R2)."""
    reports = {name: lines for name, lines in pixelmed_verdicts.items() if name != "key objects"}

    assert len(reports) == len(_cases())
    for name, lines in reports.items():
        assert [line for line in lines if line.startswith("Error")] == [], name
        assert "Found Root Template TID_1500 (MeasurementReport)" in lines, name
        assert "IOD validation complete" in lines, name


def test_pixelmed_warns_of_nothing_new(pixelmed_verdicts: dict[str, list[str]]) -> None:
    """Its warnings are those of the list above, and each of them is still given (R2)."""
    told = {
        (path.rsplit("/", 1)[-1], message)
        for lines in pixelmed_verdicts.values()
        for line in lines
        if line.startswith("Warning")
        for path, message in [re.fullmatch(r"Warning: [\d.]+: (.*): ([^:]*)", line).groups()]  # type: ignore[union-attr]
    }

    assert told == set(KNOWN_WARNINGS)


def test_pixelmed_finds_no_error_in_the_key_objects(pixelmed_verdicts: dict[str, list[str]]) -> None:
    """The selection of key images holds to TID 2010 (P6)."""
    lines = pixelmed_verdicts["key objects"]

    assert "Found Root Template TID_2010 (KeyObjectSelection)" in lines
    assert [line for line in lines if line.startswith("Error")] == []
    assert "IOD validation complete" in lines
