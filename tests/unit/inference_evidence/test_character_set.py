"""What evidence is written in when its texts do not fit the source's Specific Character Set."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from inference.errors import UnusableInput
from inference.evidence.basic_text_report import build_basic_text_report
from inference.evidence.sources import require_one_patient
from storage.domain.coded_concept import CodedConcept
from tests.conformance.every_evidence import content_items
from tests.conformance.source_series import LIVER, SourceSeries, make_context, make_findings, make_series

ONE_IMAGE = SourceSeries(shape=(1, 8, 8))
KIDNEY = "左腎"


def _made(source: Dataset, text: str) -> Dataset:
    """The plain report of a structure of this name, as read back."""
    context = make_context((source,))
    segment = replace(LIVER, type=CodedConcept("64033007", "SCT", text))
    findings = make_findings(context, np.ones((1, 8, 8), np.uint8), (segment,))
    return dcmread(BytesIO(build_basic_text_report(context, findings).part10))


def _text(report: Dataset) -> str:
    return "; ".join(str(item.TextValue) for item in content_items(report) if "TextValue" in item)


def _source(name: str | bytes, character_set: str | Sequence[str] | None) -> Dataset:
    return make_series(replace(ONE_IMAGE, patient_name=name, character_set=character_set))[0]


def _reread(source: Dataset, patient_id: bytes) -> Dataset:
    """The image as it comes with these bytes, as many as now, as Patient ID."""
    file = BytesIO()
    source.save_as(file, enforce_file_format=True)
    assert len(patient_id) == len(b"PID-0042")
    return dcmread(BytesIO(file.getvalue().replace(b"PID-0042", patient_id)))


@pytest.mark.parametrize(
    ("name", "character_set"),
    [
        ("Buc^Jérôme", "ISO_IR 100"),
        ("Люкceмбypг", "ISO_IR 144"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", ["ISO 2022 IR 13", "ISO 2022 IR 87"]),
        ("Hong^Gildong=洪^吉洞=홍^길동", ["", "ISO 2022 IR 149"]),
        ("Doe^Jane", None),
        ("Doe^Jane", "ISO_IR 999"),
    ],
    ids=["latin-1", "cyrillic", "japanese", "japanese-13", "korean", "default", "unknown"],
)
def test_what_does_not_fit_is_written_in_utf_8(name: str, character_set: str | Sequence[str] | None) -> None:
    """Our text and the patient's name at every level are read back equal, whatever the name was written in."""
    source = _source(name, character_set)
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID, other.PatientName = "OTHER", "HOSPITAL", name
    source.OtherPatientIDsSequence = [other]
    source = _reread(source, b"PID-0042")

    report = _made(source, "Nähe ≥ ა")

    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert str(report.PatientName) == str(source.PatientName)
    assert str(report.OtherPatientIDsSequence[0].PatientName) == name
    assert "Nähe ≥ ა" in _text(report)
    assert source.get("SpecificCharacterSet") == character_set


def test_the_same_source_serves_for_further_objects() -> None:
    """An object in UTF-8 leaves the next one of the same images as it is."""
    source = _source("Buc^Jérôme", "ISO_IR 100")
    _made(source, KIDNEY)

    report = _made(source, "Nähe")

    assert (report.SpecificCharacterSet, str(report.PatientName)) == ("ISO_IR 100", "Buc^Jérôme")


@pytest.mark.parametrize(
    ("text", "character_set"),
    [("Nähe", "ISO_IR 100"), (KIDNEY, ["", "ISO 2022 IR 87"]), (KIDNEY, "GB18030"), ("Liver", None)],
    ids=["latin-1", "japanese", "chinese", "default"],
)
def test_what_fits_stays_in_the_source_s_character_set(text: str, character_set: str | Sequence[str] | None) -> None:
    """The character set is the source's as long as it holds our text."""
    report = _made(_source("Doe^Jane", character_set), text)

    assert report.get("SpecificCharacterSet") == character_set
    assert text in _text(report)


@pytest.mark.parametrize("character_set", [None, ["", "ISO 2022 IR 87"]], ids=["default", "japanese"])
def test_the_default_repertoire_has_no_accents(character_set: Sequence[str] | None) -> None:
    """A letter that the default repertoire lacks is never written as a bare byte above 127."""
    assert _made(_source("Doe^Jane", character_set), "Nähe").SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize(
    ("character_set", "text"),
    [(None, "Nahe >= U+5DE6U+814E"), ("ISO_IR 999", "Nahe >= U+5DE6U+814E"), ("ISO_IR 192", f"Nähe ≥ {KIDNEY}")],
    ids=["none", "unknown", "utf-8"],
)
def test_bytes_that_cannot_be_told_are_kept(character_set: str | None, text: str) -> None:
    """The source's bytes and character set stay, so two Patient IDs are never one; our text is ASCII if need be."""
    written = []
    for patient_id in (b"PID\xe40042", b"PID\xfc0042"):
        report = _made(_reread(_source("Doe^Jane", character_set), patient_id), f"Nähe ≥ {KIDNEY}")
        element = report.get_item("PatientID")
        assert element is not None
        written.append(element.value)
        assert report.get("SpecificCharacterSet") == character_set
        assert text in _text(report)

    assert written == [b"PID\xe40042", b"PID\xfc0042"]


@pytest.mark.parametrize(
    ("name", "character_set"),
    [(b"Doe^\x1b$B;3", "ISO_IR 100"), (b"M\xfcller^J.", None), (b"M\xfcller^J.", "ISO_IR 999")],
    ids=["undeclared-escape", "none", "unknown"],
)
def test_a_name_that_cannot_be_told_keeps_its_bytes(name: bytes, character_set: str | None) -> None:
    """So does a Patient's Name, which no spelling of ours touches."""
    source = _source("Doe^J....", character_set)
    file = BytesIO()
    source.save_as(file, enforce_file_format=True)
    source = dcmread(BytesIO(file.getvalue().replace(b"Doe^J....", name)))

    report = _made(source, KIDNEY)

    element = report.get_item("PatientName")
    assert element is not None
    assert (element.value.rstrip(), report.get("SpecificCharacterSet")) == (name, character_set)
    assert "U+5DE6U+814E" in _text(report)


def test_images_whose_patient_ids_differ_in_unreadable_bytes_are_of_two_patients() -> None:
    """What is read of both is the same; what was sent is not."""
    first, second = (_reread(_source("Doe^Jane", "ISO_IR 192"), one) for one in (b"PID\xe40042", b"PID\xfc0042"))

    with pytest.raises(UnusableInput) as refusal:
        require_one_patient((first, second))

    assert refusal.value.reason.code == "patient-mix"
