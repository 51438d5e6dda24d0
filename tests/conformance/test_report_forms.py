"""Validators that are not ours judge the report in the forms that stand in for a Comprehensive 3D SR."""

import html
import re
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from inference.algorithms.image_scoring import Highest
from inference.evidence.build import build_classification_evidence, build_evidence
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole
from tests.conformance.iod_check import missing_attributes
from tests.conformance.source_classification import HAEMORRHAGE, TUMOUR, classified, corner_map
from tests.conformance.source_series import LIVER, NODULE, make_context, make_findings, make_labels, make_series

STANDING_IN = (EvidenceForm.COMPREHENSIVE, EvidenceForm.ENHANCED, EvidenceForm.BASIC_TEXT)
SOP_CLASS = {
    EvidenceForm.COMPREHENSIVE: "1.2.840.10008.5.1.4.1.1.88.33",
    EvidenceForm.ENHANCED: "1.2.840.10008.5.1.4.1.1.88.22",
    EvidenceForm.BASIC_TEXT: "1.2.840.10008.5.1.4.1.1.88.11",
}
WANTED = frozenset(EvidenceForm)


def _segmentation(empty: bool) -> tuple[EvidenceObject, ...]:
    context = make_context(make_series())
    labels = make_labels((6, 24, 32)) * np.uint8(not empty)
    return build_evidence(context, labels, (LIVER, NODULE), make_findings(context, labels, (LIVER, NODULE)), WANTED)


def _classification(folder: Path) -> tuple[EvidenceObject, ...]:
    scores = [Highest(2, 0.93, corner_map()), Highest(4, 0.31, corner_map())]
    case = classified(folder, scores, classes=[TUMOUR, HAEMORRHAGE])
    return build_classification_evidence(case.context, case.keys, case.drawn, WANTED)


@pytest.fixture(scope="module", params=["segmentation", "nothing-found", "classification"])
def reports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[EvidenceForm, bytes]:
    """The report of one kind of result in every form."""
    evidence = (
        _classification(tmp_path_factory.mktemp("images"))
        if request.param == "classification"
        else _segmentation(request.param == "nothing-found")
    )
    return {one.form: one.part10 for one in evidence if one.role is EvidenceRole.REPORT}


def _run(command: list[str], file: Path, part10: bytes) -> subprocess.CompletedProcess[str]:
    file.write_bytes(part10)
    return subprocess.run([*command, str(file)], capture_output=True, text=True, errors="replace", check=False)


@pytest.mark.parametrize("form", STANDING_IN)
def test_dciodvfy_finds_no_error(reports: dict[EvidenceForm, bytes], form: EvidenceForm, tmp_path: Path) -> None:
    """The object is a valid one of its own class, with nothing mandatory missing (R1)."""
    run = _run(["dciodvfy", "-new"], tmp_path / "report.dcm", reports[form])
    dataset = dcmread(BytesIO(reports[form]))

    assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []
    assert run.returncode == 0
    assert missing_attributes(dataset) == []
    assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == SOP_CLASS[form]


@pytest.mark.parametrize("form", STANDING_IN)
def test_dcmtk_reads_what_the_class_allows(
    reports: dict[EvidenceForm, bytes], form: EvidenceForm, tmp_path: Path
) -> None:
    """DCMTK, which refuses value types and relationships that a class lacks, prints the report and its flags."""
    run = _run(["dsrdump", "+Pl"], tmp_path / "report.dcm", reports[form])

    assert run.returncode == 0, run.stderr
    for flag in ("PRELIMINARY", "COMPLETE", "UNVERIFIED", "Not verified by a physician."):
        assert flag in run.stdout


@pytest.mark.parametrize("form", [EvidenceForm.COMPREHENSIVE_3D, *STANDING_IN])
def test_dcmtk_makes_a_page_of_it(reports: dict[EvidenceForm, bytes], form: EvidenceForm, tmp_path: Path) -> None:
    """dsr2html writes each finding and the mark for a browser (R8)."""
    (tmp_path / "report.dcm").write_bytes(reports[form])
    command = ["dsr2html", str(tmp_path / "report.dcm"), str(tmp_path / "report.html")]

    run = subprocess.run(command, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Not verified by a physician." in page
    for text in _texts(dcmread(BytesIO(reports[form]))):
        for line in text.splitlines():
            assert line in html.unescape(page)
    assert "Liver" in page or "Tumour" in page


def test_no_line_of_a_text_report_is_longer_than_viewers_show(reports: dict[EvidenceForm, bytes]) -> None:
    """OHIF shows about a hundred characters of a line and cuts off the rest."""
    lines = [line for text in _texts(dcmread(BytesIO(reports[EvidenceForm.BASIC_TEXT]))) for line in text.splitlines()]

    assert lines
    assert max(map(len, lines)) <= 90


def test_the_numbers_are_the_same_in_every_form(reports: dict[EvidenceForm, bytes]) -> None:
    """A richer class has the same content; the sentences name each measured value to what they round to."""
    best = _numbers(dcmread(BytesIO(reports[EvidenceForm.COMPREHENSIVE_3D])))
    sentences = " ".join(_texts(dcmread(BytesIO(reports[EvidenceForm.BASIC_TEXT]))))

    assert best
    for form in (EvidenceForm.COMPREHENSIVE, EvidenceForm.ENHANCED):
        assert _numbers(dcmread(BytesIO(reports[form]))) == best
    said = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", sentences)]
    for name, value in best:
        wanted = value / 100 if name == "Certainty of Finding" else value
        rounding = 0.051 if name in ("Long axis", "Short axis") else 0  # sentences stop at a tenth of a millimetre
        assert any(number == pytest.approx(wanted, rel=1e-3, abs=rounding) for number in said), (name, value, sentences)


def test_every_form_is_an_object_of_its_own(reports: dict[EvidenceForm, bytes]) -> None:
    """Other bytes have other UIDs: no instance and no series is shared."""
    datasets = [dcmread(BytesIO(part10)) for part10 in reports.values()]

    assert len({one.SOPInstanceUID for one in datasets}) == len(datasets) == 4
    assert len({one.SeriesInstanceUID for one in datasets}) == 4


def test_the_same_job_twice_gives_the_same_bytes() -> None:
    """Every form is a function of the job, whatever the clock says (S12)."""
    assert [one.part10 for one in _segmentation(False)] == [one.part10 for one in _segmentation(False)]


def _numbers(dataset: Dataset) -> list[tuple[str, float]]:
    return [
        (item.ConceptNameCodeSequence[0].CodeMeaning, float(item.MeasuredValueSequence[0].NumericValue))
        for item in _items(dataset)
        if item.ValueType == "NUM"
    ]


def _texts(dataset: Dataset) -> list[str]:
    return [item.TextValue for item in _items(dataset) if item.ValueType == "TEXT"]


def _items(dataset: Dataset) -> list[Dataset]:
    return [each for item in dataset.get("ContentSequence", ()) for each in (item, *_items(item))]
