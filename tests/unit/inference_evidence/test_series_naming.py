"""What a site calls the series of results stands in every object, and changes the UIDs with the bytes."""

import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from inference.evidence.attributes import SERIES_OFFSETS, series_description, series_number
from inference.evidence.build import EvidenceContext, build_evidence
from inference.evidence.result_uids import USUAL_NAMING, SeriesNaming
from storage.domain.result import PER_SEGMENT, EvidenceForm, EvidenceObject, EvidenceRole
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    make_context,
    make_findings,
    make_labels,
    make_series,
)

DOCS = Path(__file__).parents[3] / "docs"
OURS = SeriesNaming(500, "KI-Radiologie")


def context_of(naming: SeriesNaming) -> EvidenceContext:
    """A job of a site that calls its series so."""
    context = make_context(make_series())
    return replace(context, identity=replace(context.identity, naming=naming))


def evidence_of(naming: SeriesNaming) -> list[tuple[EvidenceObject, Dataset]]:
    """Every object of one segmentation."""
    context, labels = context_of(naming), make_labels(SourceSeries().shape)
    findings = make_findings(context, labels, (LIVER, NODULE))
    made = build_evidence(context, labels, (LIVER, NODULE), findings, frozenset(EvidenceForm))
    return [(one, dcmread(BytesIO(one.part10))) for one in made]


def test_every_object_has_the_number_and_the_prefix_of_the_site() -> None:
    """Segmentations have the first number, the others keep their distance; the prefix comes first, the mark stays."""
    for one, data_set in evidence_of(OURS):
        assert data_set.SeriesNumber == 500 + SERIES_OFFSETS[one.role]
        assert data_set.SeriesDescription.startswith("KI-Radiologie ")
        assert data_set.SeriesDescription.endswith("not verified)")
        assert len(data_set.SeriesDescription) <= 64


def test_other_names_are_other_objects() -> None:
    """One UID never has two contents: every instance and every series has another UID than under the usual names."""
    usual, ours = evidence_of(USUAL_NAMING), evidence_of(OURS)

    assert len(usual) == len(ours)
    for one, other in ((usual, ours), (ours, usual)):
        uids = {str(data_set[keyword].value) for _, data_set in other
                for keyword in ("SOPInstanceUID", "SeriesInstanceUID")}  # fmt: skip
        assert not {str(data_set.SOPInstanceUID) for _, data_set in one} & uids
        assert not {str(data_set.SeriesInstanceUID) for _, data_set in one} & uids


def test_the_pages_tell_every_series_by_its_number() -> None:
    """Number and name of each series stand on the radiologists' page, and the number beside each form."""
    forms = re.findall(
        r"^\| ([a-z0-9-]+) \| [a-z-]+ \| (\d+) \|", (DOCS / "reference/viewer-profiles.md").read_text(), re.MULTILINE
    )
    told = set(re.findall(r'^\| (\d+), "… ([a-z ]+?)(?: of …)? \(', (DOCS / "for-radiologists.md").read_text(), re.M))
    made = evidence_of(USUAL_NAMING)

    assert {form for form, _ in forms} == set(EvidenceForm)
    assert {int(number) for _, number in forms} == {int(number) for number, _ in told} == set(range(9001, 9010))
    for one, data_set in made:
        assert (one.form, str(data_set.SeriesNumber)) in forms
        if one.form not in PER_SEGMENT.values():
            assert any(
                str(data_set.SeriesNumber) == number and f" {words} " in f"{data_set.SeriesDescription} "
                for number, words in told
            ), data_set.SeriesDescription


def test_the_usual_numbers_are_those_of_the_conformance_statement() -> None:
    """9001 to 9009, each role its own."""
    assert sorted(series_number(USUAL_NAMING, role) for role in EvidenceRole) == list(range(9001, 9010))


@pytest.mark.parametrize("what", ["report", "probabilities", "a" * 24])
@pytest.mark.parametrize("first", [False, True])
def test_a_long_prefix_takes_room_from_the_name_and_never_from_the_mark(what: str, first: bool) -> None:
    """A Series Description has 64 characters (PS3.5 section 6.2); whose verification is missing is always said."""
    context = context_of(SeriesNaming(description_prefix="P" * 16))
    context = replace(context, algorithm=replace(context.algorithm, name="n" * 64))

    description = series_description(context, what, first=first)

    assert len(description) <= 64
    assert description.startswith("P" * 16 + " ")
    assert what[:20] in description
    assert description.endswith("(RESEARCH, not verified)")
