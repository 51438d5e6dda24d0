"""Validators and readers that are not ours judge the evidence."""

import subprocess
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import numpy.typing as npt
import pytest
from pydicom import Dataset, dcmread

from inference.evidence.build import EvidenceContext, build_evidence
from storage.domain.result import EvidenceObject, EvidenceRole
from tests.conformance.iod_check import missing_attributes
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


@dataclass(frozen=True)
class Case:
    """One job: its input and what came of it."""

    context: EvidenceContext
    labels: npt.NDArray[np.uint8]
    evidence: tuple[EvidenceObject, ...]

    def dataset(self, role: EvidenceRole) -> Dataset:
        """The object of one role, read from its bytes."""
        return evidence_dataset(self.evidence, role)


def _case(series: SourceSeries, labels: npt.NDArray[np.uint8] | None = None) -> Case:
    context = make_context(make_series(series))
    labels = make_labels(series.shape) if labels is None else labels
    findings = make_findings(context, labels, (LIVER, NODULE))
    return Case(context, labels, build_evidence(context, labels, (LIVER, NODULE), findings))


def _single_slice() -> Case:
    labels = np.zeros((6, 24, 32), np.uint8)
    labels[2, 4:9, 5:12] = 2
    return _case(SourceSeries(), labels)


CASES = {
    "axial": lambda: _case(SourceSeries()),
    "sagittal": lambda: _case(SourceSeries(modality="MR", orientation="sagittal")),
    "coronal": lambda: _case(SourceSeries(modality="MR", orientation="coronal")),
    "oblique": lambda: _case(SourceSeries(orientation="oblique")),
    "reversed": lambda: _case(SourceSeries(reverse=True)),
    "odd matrix": lambda: _case(SourceSeries(shape=(21, 181, 157))),
    "one image": lambda: _case(SourceSeries(shape=(1, 24, 32)), make_labels((6, 24, 32))[2:3]),
    "one slice of the liver only": _single_slice,
    "UTF-8 name": lambda: _case(SourceSeries(patient_name="Müller^Jürgen=山田^太郎")),
    "Japanese name": lambda: _case(
        SourceSeries(patient_name="Yamada^Tarou=山田^太郎=やまだ^たろう", character_set=["", "ISO 2022 IR 87"])
    ),
    "Latin-1 name": lambda: _case(SourceSeries(patient_name="Buc^Jérôme", character_set="ISO_IR 100")),
    "odd matrix, one segment": lambda: _case(SourceSeries(shape=(21, 181, 157)), make_labels((21, 181, 157)) // 2),
    "nothing found": lambda: _case(SourceSeries(), np.zeros((6, 24, 32), np.uint8)),
}


@pytest.fixture(scope="module", params=list(CASES), ids=[name.replace(" ", "-") for name in CASES])
def case(request: pytest.FixtureRequest) -> Case:
    """Each kind of input in turn."""
    return CASES[request.param]()


@pytest.fixture(scope="module")
def axial() -> Case:
    """The plain input."""
    return CASES["axial"]()


def test_dciodvfy_finds_no_error(case: Case, tmp_path: Path) -> None:
    """dciodvfy accepts every object for every kind of input (S1, R1)."""
    for one in case.evidence:
        file = tmp_path / f"{one.role}.dcm"
        file.write_bytes(one.part10)

        run = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False)

        assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []
        assert run.returncode == 0


def test_every_mandatory_attribute_is_there(case: Case) -> None:
    """No attribute of type 1 or 2 of a mandatory module is missing in the Standard's own tables."""
    for one in case.evidence:
        assert missing_attributes(dcmread(BytesIO(one.part10))) == []


def test_the_attribute_check_sees_a_gap(axial: Case) -> None:
    """The check above would notice a deleted attribute, at the root and inside a sequence."""
    seg = axial.dataset(EvidenceRole.SEGMENTATION)
    del seg.SegmentationType
    del seg.SegmentSequence[1].SegmentLabel

    assert len(missing_attributes(seg)) == 2


def test_dsrdump_prints_the_report_and_its_flags(case: Case, tmp_path: Path) -> None:
    """DCMTK reads the report, which is complete, preliminary and unverified, with both findings (R3)."""
    file = tmp_path / "report.dcm"
    file.write_bytes(case.evidence[-1].part10)

    run = subprocess.run(["dsrdump", "+Pl", str(file)], capture_output=True, check=False)
    text = run.stdout.decode(errors="replace")

    assert run.returncode == 0, run.stderr
    for flag in (
        "Preliminary Flag    : PRELIMINARY",
        "Completion Flag     : COMPLETE",
        "Verification Flag   : UNVERIFIED",
    ):
        assert flag in text
    assert '"Finding")=(10200004,SCT,"Liver")' in text
    assert '"Finding")=(27925004,SCT,"Nodule")' in text
    assert "Not verified by a physician." in text


def test_every_voxel_returns_to_its_place_in_the_patient(case: Case) -> None:
    """A second reader finds each segment's voxels at the patient coordinates where the algorithm put them (S3, S4)."""
    if not case.labels.any():
        return
    seg = case.dataset(EvidenceRole.SEGMENTATION)

    expected = {
        segment.label: _positions(case, case.labels == segment.number)
        for segment in (LIVER, NODULE)
        if (case.labels == segment.number).any()
    }

    assert {str(item.SegmentLabel) for item in seg.SegmentSequence} == set(expected)
    for item in seg.SegmentSequence:
        assert _seg_positions(seg, int(item.SegmentNumber)) == expected[item.SegmentLabel]


def test_highdicom_reads_each_slice_back(case: Case) -> None:
    """highdicom gives back, for each source image, the mask that went in."""
    if not case.labels.any():
        return
    part10 = case.evidence[0].part10
    seg = highdicom.seg.segread(BytesIO(part10))
    numbers = [int(item.SegmentNumber) for item in seg.SegmentSequence]
    labels = [LIVER if item.SegmentLabel == LIVER.label else NODULE for item in seg.SegmentSequence]

    read = seg.get_pixels_by_source_instance(
        [image.SOPInstanceUID for image in case.context.sources],
        segment_numbers=numbers,
        assert_missing_frames_are_empty=True,
    )

    for position, segment in enumerate(labels):
        np.testing.assert_array_equal(read[..., position], case.labels == segment.number)


def _positions(case: Case, mask: npt.NDArray[np.bool_]) -> set[tuple[float, ...]]:
    found = set()
    for image, plane in zip(case.context.sources, mask, strict=True):
        found |= _in_patient(plane, image.ImagePositionPatient, image.ImageOrientationPatient, image.PixelSpacing)
    return found


def _seg_positions(seg: Dataset, number: int) -> set[tuple[float, ...]]:
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    found = set()
    for plane, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number:
            position = groups.PlanePositionSequence[0].ImagePositionPatient
            found |= _in_patient(plane > 0, position, orientation, spacing)
    return found


def _in_patient(plane, position, orientation, spacing) -> set[tuple[float, ...]]:
    # PS3.3 equation C.7.6.2.1-1, with coordinates rounded to a thousandth of a millimetre.
    along_row, along_column = np.array(orientation, float).reshape(2, 3)
    rows, columns = np.nonzero(plane)
    points = (
        np.array(position, float)
        + columns[:, None] * float(spacing[1]) * along_row
        + rows[:, None] * float(spacing[0]) * along_column
    )
    return {tuple(point) for point in np.round(points, 3) + 0.0}
