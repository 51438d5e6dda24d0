"""Equipment and protocol are kept; nothing that tells of a patient is, wherever somebody has typed it."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from pydicom import Dataset

from inference.monitoring.acquisition import acquisition
from tests.peers.synthetic_series import slice_headers

SECRET = b"s" * 32


def _headers(**values: Any) -> list[Dataset]:
    def edit(_: int, header: Dataset) -> None:
        for keyword, value in values.items():
            setattr(header, keyword, value)

    return slice_headers(edit=edit)


def test_the_equipment_is_described() -> None:
    """Device, kind of acquisition, sizes and spacings are those of the headers."""
    found = acquisition(
        _headers(
            Manufacturer="SIEMENS",
            ManufacturerModelName="Skyra",
            StationName="MR2",
            ScanningSequence=["GR", "IR"],
            MagneticFieldStrength="2.89",
            ProtocolName="t1_mprage",
        ),
        SECRET,
    )

    assert (found.manufacturer, found.model, found.modality, found.body_part) == ("SIEMENS", "Skyra", "MR", "HEAD")
    assert found.sequence == "IR/GR"
    assert (found.slice_thickness_mm, found.field_strength_t) == (2.0, 2.89)
    assert (found.images, found.rows, found.columns) == (6, 5, 4)
    assert (found.pixel_spacing_mm, found.slice_spacing_mm) == (1.5, 2.0)
    assert len(found.unit) == len(found.protocol_hash) == 8


def test_two_scanners_of_one_model_differ() -> None:
    """Their station names are not kept, yet tell them apart; another site's secret gives other hashes."""
    first, second = (acquisition(_headers(StationName=name), SECRET) for name in ("MR1", "MR2"))

    assert first.unit != second.unit
    assert first.unit == acquisition(_headers(StationName="MR1"), SECRET).unit
    assert first.unit != acquisition(_headers(StationName="MR1"), b"t" * 32).unit
    assert acquisition(_headers(), SECRET).unit == ""


def test_a_protocol_name_is_known_again_but_not_read() -> None:
    """Spaces and the case of letters do not matter; the words are nowhere."""
    found = acquisition(_headers(ProtocolName="Head  Routine for Mrs Doe"), SECRET)

    assert found.protocol_hash == acquisition(_headers(ProtocolName="head routine FOR mrs doe"), SECRET).protocol_hash
    assert "doe" not in json.dumps(asdict(found)).lower()


FREE_TEXTS = [
    "Manufacturer",
    "ManufacturerModelName",
    "StationName",
    "DeviceSerialNumber",
    "ProtocolName",
    "ConvolutionKernel",
    "BodyPartExamined",
    "Modality",
    "ScanningSequence",
    "SeriesDescription",
    "InstitutionName",
    "OperatorsName",
]


@pytest.mark.parametrize("keyword", FREE_TEXTS)
@pytest.mark.parametrize("value", ["CANARYNAME", "Canaryname 3", "CANARY7731", "canary7731-a"])
def test_a_patient_typed_into_the_equipment_is_not_kept(keyword: str, value: str) -> None:
    """Neither the patient's name nor the ID passes through any attribute."""
    headers = _headers(PatientName="Canaryname^Zebra", PatientID="CANARY7731", **{keyword: value})

    assert "canary" not in json.dumps(asdict(acquisition(headers, SECRET))).lower()


@pytest.mark.parametrize(
    ("keyword", "patient"),
    [
        ("PatientName", "Ion^Kyra"),
        ("PatientName", "Sie^Men"),
        ("PatientID", "kyr"),
        ("PatientID", "125"),
        ("AccessionNumber", "1234"),
        ("StudyID", "3"),
    ],
)
def test_part_of_a_word_hides_no_scanner(keyword: str, patient: str) -> None:
    """Whatever the patients are called, one scanner stays one scanner in the figures."""
    equipment = {
        "Manufacturer": "SIEMENS",
        "ManufacturerModelName": "Skyra Precision 12345 A3",
        "ConvolutionKernel": "I70",
    }

    found = acquisition(_headers(**equipment, **{keyword: patient}), SECRET)

    assert (found.manufacturer, found.model) == ("SIEMENS", "Skyra Precision 12345 A3")


@pytest.mark.parametrize(
    "typed",
    ["Skyra Smith", "SMITH_MR", "MR-smith2", "room 3, Jo Smith", "AB 12-34", "AB1234", "Skyra ab-1234 x", "1965 04 03"],
)
def test_a_whole_name_or_identifier_in_free_text_is_not_kept(typed: str) -> None:
    """Names as words, identifiers however they are parted."""
    headers = _headers(
        PatientName="Smith^Jo", PatientID="AB-1234", PatientBirthDate="19650403", ManufacturerModelName=typed
    )

    assert acquisition(headers, SECRET).model == ""


@pytest.mark.parametrize(
    ("kernel", "kept"), [("BONE", "BONE"), (["I70f", "3"], "I70F"), ("H31s", "H31S"), ("SMITH", ""), ("B 30", "")]
)
def test_a_kernel_is_kept_where_it_looks_like_one(kernel: Any, kept: str) -> None:
    """A word without a digit is a kernel only if it is one of those that are known."""
    assert acquisition(_headers(ConvolutionKernel=kernel), SECRET).sequence == kept


@pytest.mark.parametrize(
    ("stated", "tesla"), [("1.5", 1.5), ("15000", 1.5), ("", None), ("-1", None), ("0", None), ("inf", None)]
)
def test_a_field_strength_is_in_tesla(stated: str, tesla: float | None) -> None:
    """Also where a device writes gauss; what is no number is nothing."""
    headers = _headers()
    headers[0].add_new("MagneticFieldStrength", "LO", stated)

    assert acquisition(headers, SECRET).field_strength_t == tesla


def test_odd_headers_fail_nothing() -> None:
    """An acquisition of which nothing can be read is empty."""
    headers = _headers()
    for header in headers:
        header.Manufacturer = ["A", "B"]
        for keyword in ("SliceThickness", "MagneticFieldStrength", "PixelSpacing"):
            header.add_new(keyword, "LO", "Canary\\Weird")
        del header.Rows

    found = acquisition(headers, SECRET)

    assert (found.slice_thickness_mm, found.field_strength_t, found.pixel_spacing_mm, found.rows) == (
        None,
        None,
        None,
        0,
    )
