"""Readers that are not ours get the probabilities back from a fractional segmentation."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from inference.evidence import fractional
from inference.evidence.build import Segmented, build_evidence
from inference.evidence.fractional import build_fractional
from inference.imaging.frames import image_key
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole, stand_ins
from tests.conformance.iod_check import missing_attributes
from tests.conformance.patient_places import places_in_nifti, places_in_series
from tests.conformance.source_modalities import SERIES, segmented
from tests.conformance.source_series import LIVER, NODULE
from tests.peers.multi_frame import image_of, pixels_by_image

_FORMS = (EvidenceForm.BINARY, EvidenceForm.FRACTIONAL)


@pytest.fixture(params=list(SERIES), ids=[name.replace(" ", "-") for name in SERIES])
def result(request: pytest.FixtureRequest) -> Segmented:
    """Each modality and geometry in turn."""
    return segmented(request.param)


def _built(result: Segmented) -> EvidenceObject:
    assert result.probabilities is not None
    (one,) = build_fractional(result.context, result.found, result.probabilities)
    return one


def _read(result: Segmented) -> Dataset:
    return dcmread(BytesIO(_built(result).part10))


def _steps(result: Segmented, number: int) -> np.ndarray:
    assert result.probabilities is not None
    return np.rint(result.probabilities.of(number) * 255)


def test_dciodvfy_finds_no_error(result: Segmented, tmp_path: Path) -> None:
    """dciodvfy accepts it for every modality and geometry (S1)."""
    (tmp_path / "fractional.dcm").write_bytes(_built(result).part10)

    run = subprocess.run(["dciodvfy", "-new", str(tmp_path / "fractional.dcm")], capture_output=True, text=True)

    assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []
    assert run.returncode == 0


def test_every_mandatory_attribute_is_there(result: Segmented) -> None:
    """No attribute of type 1 or 2 is missing; type, meaning and scale of the values are stated."""
    one = _read(result)

    assert missing_attributes(one) == []
    assert (one.SegmentationType, one.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    assert one.MaximumFractionalValue == 255
    assert one.ContentQualification == "RESEARCH"
    assert one.SeriesDescription.endswith("(RESEARCH, not verified)")


def test_each_frame_has_the_probabilities_of_its_image_and_segment(result: Segmented) -> None:
    """Frame by frame in pydicom: every value in 255ths, at its image's place; slices without any have no frame (S3)."""
    one = _read(result)
    sources = {image_key(source): index for index, source in enumerate(result.context.sources)}
    read = np.zeros((3, *result.labels.shape))
    frames = one.pixel_array.reshape(-1, one.Rows, one.Columns)
    for groups, pixels in zip(one.PerFrameFunctionalGroupsSequence, frames, strict=True):
        (image,) = groups.DerivationImageSequence[0].SourceImageSequence
        index = sources[image_of(image)]
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        assert pixels.any()
        if "PlanePositionSequence" in groups:
            position = groups.PlanePositionSequence[0].ImagePositionPatient
            assert position == result.context.sources[index].ImagePositionPatient
        read[number, index] = pixels

    for number in (LIVER.number, NODULE.number):
        np.testing.assert_array_equal(read[number], _steps(result, number))


def test_highdicom_reads_probabilities() -> None:
    """highdicom scales the values back to 0 to 1, within half a step."""
    result = segmented("CT oblique")
    seg = highdicom.seg.Segmentation.from_dataset(_read(result))

    read = pixels_by_image(seg, result.context.sources)

    for number in (LIVER.number, NODULE.number):
        assert result.probabilities is not None
        expected = result.probabilities.of(number)
        np.testing.assert_allclose(read[..., number - 1], expected, atol=0.5 / 255 + 1e-6)


def test_dcmqi_finds_every_value_at_its_place(tmp_path: Path) -> None:
    """dcmqi reads the 255ths, spacing and position, in patient coordinates (S8).

    It makes a voxel of the segment of each, however small, which is why other forms come first.
    """
    result = segmented("CT axial")
    (tmp_path / "fractional.dcm").write_bytes(_built(result).part10)
    program = Path(sys.executable).parent / "segimage2itkimage"
    arguments = ["--inputDICOM", tmp_path / "fractional.dcm", "--outputDirectory", tmp_path, "-t", "nii"]

    subprocess.run([program, *arguments], check=True, capture_output=True)

    for number in (LIVER.number, NODULE.number):
        read = places_in_nifti(nibabel.load(tmp_path / f"{number}.nii.gz"))

        assert read == places_in_series(result.context.sources, _steps(result, number))


def test_it_stands_in_for_the_binary_form(result: Segmented) -> None:
    """It is made when it is wanted, under UIDs of its own, and the binary one is the result."""
    findings = [one.finding for one in result.found]
    evidence = build_evidence(result.context, result.labels, [LIVER, NODULE], findings, _FORMS, result.probabilities)

    forms = [one.form for one in evidence if one.role is EvidenceRole.SEGMENTATION]
    assert forms[1:] == [EvidenceForm.FRACTIONAL]
    assert stand_ins(forms) == {EvidenceForm.FRACTIONAL}
    assert len({one.series_instance_uid for one in evidence}) == len(evidence)
    without = build_evidence(result.context, result.labels, [LIVER, NODULE], findings, _FORMS)
    assert [one.form for one in without] == [forms[0]]


def test_the_same_job_gives_the_same_bytes() -> None:
    """Also when the pixels are asked for twice (S12)."""
    first, second = _built(segmented("PT")), _built(segmented("PT"))

    assert first.part10 == second.part10 == first.part10


def test_one_that_is_too_large_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The binary form goes to every destination anyway."""
    result = segmented("CT axial")
    size = int(_read(result).NumberOfFrames) * 24 * 32
    monkeypatch.setattr(fractional, "MOST_BYTES", size)
    _built(result)

    monkeypatch.setattr(fractional, "MOST_BYTES", size - 1)
    assert result.probabilities is not None
    assert build_fractional(result.context, result.found, result.probabilities) == ()
