"""Validators that are not ours judge segmentations and reports in every form, for every kind of source."""

import re
import subprocess
from pathlib import Path

import pytest
from pydicom import Dataset

from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole
from tests.conformance.every_evidence import (
    MEASUREMENT_FORMS,
    SEGMENTS,
    Evidence,
    evidence_of,
    evidence_of_source,
)
from tests.conformance.iod_check import missing_attributes
from tests.conformance.source_modalities import SERIES, segmented_in

# What dciodvfy of 2022 says of every label map, and of nothing else: it knows neither the class nor segment 0, which
# PS3.3 section C.8.20.2.8 makes the background.
LABEL_MAP_ERRORS = [
    "Error - </SegmentSequence(0062,0002)[1]/SegmentNumber(0062,0004)> - SegmentNumber not monotonically increasing "
    "from one by one - have SegmentSequence item number 1 (from one) with SegmentNumber of 0",
    "Error - Information Object Not found",
]
REPORT_FORMS = (*MEASUREMENT_FORMS, EvidenceForm.BASIC_TEXT)


@pytest.fixture(scope="module", params=list(SERIES), ids=[name.replace(" ", "-") for name in SERIES])
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Each modality and geometry in turn."""
    return evidence_of_source(request.param)


def _outlined_and_reported(evidence: Evidence) -> list[tuple[EvidenceObject, Dataset]]:
    roles = (EvidenceRole.SEGMENTATION, EvidenceRole.REPORT)
    return [(one, data_set) for one, data_set in evidence.read if one.role in roles]


def _run(command: list[str], file: Path, part10: bytes) -> str:
    file.write_bytes(part10)
    run = subprocess.run([*command, str(file)], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode(errors="replace")
    return run.stdout.decode("utf-8", errors="replace")


def test_dciodvfy_finds_no_error(evidence: Evidence, tmp_path: Path) -> None:
    """Segmentations and reports are valid in every form; of a label map it knows no more than its class (S1, R1)."""
    forms = set()
    for one, _ in _outlined_and_reported(evidence):
        file = tmp_path / f"{one.form}.dcm"
        file.write_bytes(one.part10)

        run = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False)

        errors = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
        assert errors == (LABEL_MAP_ERRORS if one.form is EvidenceForm.LABEL_MAP else []), one.form
        forms.add(one.form)
    assert forms > {EvidenceForm.LABEL_MAP, *REPORT_FORMS}


def test_every_mandatory_attribute_is_there(evidence: Evidence) -> None:
    """No attribute of type 1 or 2 of a mandatory module is missing in the Standard's own tables (S1, R1)."""
    for one, data_set in _outlined_and_reported(evidence):
        assert missing_attributes(data_set) == [], one.form


def test_the_sides_of_an_image_without_a_place_are_told(evidence: Evidence) -> None:
    """Its masks say where rows and columns run to, and which breast it is; images in space say so by their planes."""
    source = evidence.context.sources[0]
    for segmentation in evidence.of_role(EvidenceRole.SEGMENTATION):
        if "ImageOrientationPatient" in source:
            assert "PatientOrientation" not in segmentation
        else:
            assert segmentation.PatientOrientation == source.PatientOrientation == ["L", "F"]
        assert segmentation.get("ImageLaterality") == source.get("ImageLaterality")
        assert "Laterality" not in segmentation


# What the source says of its body part and side, and what its segmentation then says: Image Laterality, Laterality.
SIDES = {
    "paired, of the image": ({"BodyPartExamined": "KNEE", "ImageLaterality": "L"}, ("L", None)),
    "paired, of the series": ({"BodyPartExamined": "KNEE", "Laterality": "R"}, ("R", None)),
    "both": ({"BodyPartExamined": "BREAST", "ImageLaterality": "B"}, ("B", None)),
    "unpaired": ({"BodyPartExamined": "CHEST"}, (None, None)),
    "no body part": ({"BodyPartExamined": None}, (None, None)),
    "unknown side": ({"BodyPartExamined": "KNEE"}, (None, "")),
}
# dciodvfy wants no Laterality in any segmentation; PS3.3 section C.7.3.1 wants it of a paired part whose side is not
# known, and has no other attribute that may be empty.
UNKNOWN_SIDE = [
    "Error - </Laterality(0020,0060)> - Attribute present when condition unsatisfied (which may not be present "
    "otherwise) for Type 2C Conditional - Module=<GeneralSeries>"
]


@pytest.mark.parametrize("side", SIDES, ids=[name.replace(" ", "-") for name in SIDES])
@pytest.mark.parametrize("source", ["CT axial", "DX"])
def test_a_segmentation_says_which_side_it_is_of(source: str, side: str, tmp_path: Path) -> None:
    """The side stands with the image; a series has a laterality only where none is known of a paired part."""
    told, expected = SIDES[side]
    images = SERIES[source]()
    for image in images:
        for keyword, value in told.items():
            setattr(image, keyword, value)
            if value is None:
                delattr(image, keyword)

    evidence = evidence_of(segmented_in(images))

    for mask in evidence.of_role(EvidenceRole.SEGMENTATION):
        assert (mask.get("ImageLaterality"), mask.get("Laterality")) == expected
    (part10,) = [one.part10 for one in evidence.objects if one.form is EvidenceForm.BINARY]
    (tmp_path / "mask.dcm").write_bytes(part10)
    run = subprocess.run(["dciodvfy", "-new", tmp_path / "mask.dcm"], capture_output=True, text=True, check=False)
    errors = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
    assert errors == (UNKNOWN_SIDE if side == "unknown side" else [])


@pytest.mark.parametrize("form", REPORT_FORMS)
def test_dsrdump_prints_every_report_and_its_flags(evidence: Evidence, form: EvidenceForm, tmp_path: Path) -> None:
    """DCMTK reads each class: complete, preliminary, unverified, and with the mark (R3)."""
    (part10,) = [one.part10 for one in evidence.objects if one.form is form]

    text = _run(["dsrdump", "+Pl"], tmp_path / "report.dcm", part10)

    for flag in (
        "Preliminary Flag    : PRELIMINARY",
        "Completion Flag     : COMPLETE",
        "Verification Flag   : UNVERIFIED",
        "Not verified by a physician.",
    ):
        assert flag in text


@pytest.mark.parametrize("form", REPORT_FORMS)
def test_every_report_can_be_read_as_text(evidence: Evidence, form: EvidenceForm, tmp_path: Path) -> None:
    """dsr2html makes a page of each class that names every finding and its volume (R8)."""
    (part10,) = [one.part10 for one in evidence.objects if one.form is form]

    page = _run(["dsr2html"], tmp_path / "report.dcm", part10)

    for found in evidence.result.found:
        assert found.finding.kind.meaning in page
        volume = next(one.value for one in found.finding.measurements if one.name.meaning == "Volume")
        assert re.search(rf"\b{int(volume)}\b", page), volume


def test_each_object_of_a_form_is_a_series_of_its_own(evidence: Evidence) -> None:
    """Viewers that take one instance of a series miss nothing: segmentations and reports stand alone (S15)."""
    series = [str(data_set.SeriesInstanceUID) for _, data_set in _outlined_and_reported(evidence)]

    assert len(set(series)) == len(series) >= 2 + len(SEGMENTS) + len(REPORT_FORMS)
    assert str(evidence.context.sources[0].SeriesInstanceUID) not in series
