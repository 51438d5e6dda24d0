"""Validators and readers that are not ours judge the evidence of classifications."""

import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from inference.algorithms.image_scoring import Highest
from tests.conformance.iod_check import missing_attributes
from tests.conformance.source_classification import (
    HAEMORRHAGE,
    MR,
    TUMOUR,
    Classified,
    classified,
    corner_map,
    radiograph,
)
from tests.conformance.source_series import SourceSeries, make_series

PRESENT, ABSENT = Highest(2, 0.93, corner_map()), Highest(4, 0.31, corner_map())

CASES: dict[str, Callable[[Path], Classified]] = {
    "present": lambda folder: classified(folder, [PRESENT]),
    "absent": lambda folder: classified(folder, [ABSENT]),
    "no map": lambda folder: classified(folder, [Highest(2, 0.93, None)]),
    "two classes": lambda folder: classified(folder, [PRESENT, ABSENT], classes=[TUMOUR, HAEMORRHAGE]),
    "radiograph": lambda folder: classified(folder, [Highest(0, 0.7, corner_map())], [radiograph()]),
    "bare radiograph": lambda folder: classified(
        folder,
        [Highest(0, 0.2, None)],
        [radiograph(BodyPartExamined=None, PatientOrientation=None, ImagerPixelSpacing=None, InstanceNumber=None)],
    ),
    "knee of an unknown side": lambda folder: classified(
        folder, [Highest(0, 0.7, corner_map())], [radiograph(BodyPartExamined="KNEE")]
    ),
    "lossy": lambda folder: classified(
        folder,
        [Highest(0, 0.7, corner_map())],
        [
            radiograph(
                LossyImageCompression="01",
                LossyImageCompressionRatio=10.0,
                LossyImageCompressionMethod="ISO_10918_1",
                BodyPartExamined="KNEE",
                ImageLaterality="R",
            )
        ],
    ),
    "Japanese name": lambda folder: classified(
        folder,
        [PRESENT],
        make_series(
            SourceSeries(
                modality="MR", patient_name="Yamada^Tarou=山田^太郎=やまだ^たろう", character_set=["", "ISO 2022 IR 87"]
            )
        ),
    ),
}


@pytest.fixture(scope="module", params=list(CASES), ids=[name.replace(" ", "-") for name in CASES])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Classified:
    """Each kind of outcome in turn."""
    return CASES[request.param](tmp_path_factory.mktemp("case"))


def test_dciodvfy_finds_no_error(case: Classified, tmp_path: Path) -> None:
    """dciodvfy accepts every Secondary Capture and report (R1, P4)."""
    for place, one in enumerate(case.evidence):
        file = tmp_path / f"{place}.dcm"
        file.write_bytes(one.part10)

        run = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False)

        assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []
        assert run.returncode == 0


def test_every_mandatory_attribute_is_there(case: Classified) -> None:
    """No attribute of type 1 or 2 of a mandatory module is missing in the Standard's own tables."""
    for one in case.evidence:
        assert missing_attributes(dcmread(BytesIO(one.part10))) == []


def test_dsrdump_prints_the_report_and_its_flags(case: Classified, tmp_path: Path) -> None:
    """DCMTK reads the report with its class, probability, threshold, coordinates and flags (R3)."""
    file = tmp_path / "report.dcm"
    file.write_bytes(case.evidence[-1].part10)

    run = subprocess.run(["dsrdump", "+Pl", str(file)], capture_output=True, check=False)
    text = run.stdout.decode(errors="replace")

    assert run.returncode == 0, run.stderr
    for wanted in (
        "Preliminary Flag    : PRELIMINARY",
        "Verification Flag   : UNVERIFIED",
        '"Finding")=(108369006,SCT,"Neoplasm")',
        f'"Certainty of Finding")="{float(f"{case.keys[0].classification.probability * 100:.7g}")}" (%,UCUM,"percent")',
        '"threshold for Tumour: 0.62 (chosen on validation)"',
        "Not verified by a physician.",
    ):
        assert wanted in text
    assert text.count("SCOORD") == len(case.keys)


def test_the_same_job_twice_gives_the_same_bytes(case: Classified, tmp_path: Path) -> None:
    """Evidence and pictures are functions of the job, whatever the clock says (S12)."""
    sources = case.context.sources
    scores = [
        Highest(key.index, key.classification.probability, corner_map() if key.mapped else None) for key in case.keys
    ]
    classes = [TUMOUR, HAEMORRHAGE][: len(case.keys)]

    again = classified(tmp_path, scores, sources, classes)

    assert [one.part10 for one in again.evidence] == [one.part10 for one in case.evidence]


def test_the_series_differ_and_stay_apart(case: Classified) -> None:
    """Captures share one series, the report has its own; numbers are those of our block, not the source's."""
    *captures, report = (dcmread(BytesIO(one.part10)) for one in case.evidence)

    assert {(one.SeriesNumber, one.Modality) for one in captures} == {(9003, "OT")}
    assert len({one.SeriesInstanceUID for one in captures}) == 1
    assert (report.SeriesNumber, report.Modality) == (9002, "SR")
    assert [one.InstanceNumber for one in captures] == list(range(1, len(captures) + 1))
    assert report.SeriesInstanceUID not in {captures[0].SeriesInstanceUID, f"{MR.study_uid}.2"}
