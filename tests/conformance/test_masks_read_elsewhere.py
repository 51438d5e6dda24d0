"""Readers that are not ours get mask, spacing and place in the patient back, for every source with geometry."""

import json
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pytest
import SimpleITK
from pydicom import Dataset

from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole
from tests.conformance.every_evidence import BINARY_FORMS, SEGMENTS, Evidence, evidence_of_source
from tests.conformance.source_modalities import SERIES, WITH_GEOMETRY
from tests.peers.multi_frame import pixels_by_image

WITHOUT_GEOMETRY = [name for name in SERIES if name not in WITH_GEOMETRY]
# An ITK image is a straight box of voxels, so dcmqi sets the slices of a tilted gantry upright; the places of the
# frames themselves are right (S4).
UPRIGHT = ("CT gantry tilted",)
_SAME = 1e-3  # mm

Points = np.ndarray


def _ids(names: list[str]) -> list[str]:
    return [name.replace(" ", "-") for name in names]


def _binary(evidence: Evidence) -> EvidenceObject:
    return next(one for one in evidence.objects if one.form in BINARY_FORMS)


def _expected(evidence: Evidence, number: int) -> Points:
    """The places of a segment's voxels: PS3.3 equation C.7.6.2.1-1 for the model's mask on its source images."""
    found = []
    for image, plane in zip(evidence.context.sources, evidence.labels == number, strict=True):
        along_row, along_column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        rows, columns = np.nonzero(plane)
        found.append(
            np.array(image.ImagePositionPatient, float)
            + columns[:, None] * float(image.PixelSpacing[1]) * along_row
            + rows[:, None] * float(image.PixelSpacing[0]) * along_column
        )
    return np.concatenate(found)


def _places(image: SimpleITK.Image, values: np.ndarray) -> Points:
    """The places of the set voxels, by SimpleITK's own geometry."""
    voxels = np.argwhere(values)[:, ::-1].tolist()
    return np.array([image.TransformIndexToPhysicalPoint(voxel) for voxel in voxels])


def _in_order(points: Points) -> Points:
    rounded = np.round(points, 2) + 0.0
    return points[np.lexsort(rounded.T)]


def _assert_same(places: Points, expected: Points) -> None:
    assert len(places) == len(expected)
    assert np.abs(_in_order(places) - _in_order(expected)).max() < _SAME


def _spacing(source: Dataset) -> tuple[float, float]:
    return float(source.PixelSpacing[1]), float(source.PixelSpacing[0])  # ITK counts columns first


def _converted(evidence: Evidence, folder: Path) -> Iterator[tuple[int, SimpleITK.Image]]:
    """Segment Number and image of each segment, as dcmqi converts them."""
    file = folder / "mask.dcm"
    file.write_bytes(_binary(evidence).part10)
    program = Path(sys.executable).parent / "segimage2itkimage"
    subprocess.run([program, "--inputDICOM", file, "--outputDirectory", folder], check=True, capture_output=True)
    told = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["segmentAttributes"]
    for place, group in enumerate(told, start=1):
        image = SimpleITK.ReadImage(folder / f"{place}.nrrd")
        for segment in group:
            mask = SimpleITK.BinaryThreshold(image, segment["labelID"], segment["labelID"])
            (number,) = [one.number for one in SEGMENTS if one.label == segment["SegmentLabel"]]
            yield number, mask


@pytest.mark.parametrize("name", WITH_GEOMETRY, ids=_ids(WITH_GEOMETRY))
def test_dcmqi_puts_every_voxel_at_its_place_in_the_patient(name: str, tmp_path: Path) -> None:
    """The converter behind 3D Slicer's plugin makes images with the model's mask, spacing and position (S8)."""
    evidence = evidence_of_source(name)
    found = dict(_converted(evidence, tmp_path))

    assert sorted(found) == [one.number for one in SEGMENTS]
    for number, image in found.items():
        values = SimpleITK.GetArrayFromImage(image)
        assert np.count_nonzero(values) == np.count_nonzero(evidence.labels == number)
        np.testing.assert_allclose(image.GetSpacing()[:2], _spacing(evidence.context.sources[0]), rtol=1e-6)
        expected = _expected(evidence, number)
        _assert_same(_places(image, values), _upright(evidence, expected) if name in UPRIGHT else expected)


def _upright(evidence: Evidence, points: Points) -> Points:
    """The points with their slices in a straight stack upon the first slice that has a mask."""
    first = next(index for index, plane in enumerate(evidence.labels) if plane.any())
    source = evidence.context.sources[first]
    along_row, along_column = np.array(source.ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(along_row, along_column)
    heights = (points - np.array(source.ImagePositionPatient, float)) @ normal
    moved = np.zeros_like(points)
    for image in evidence.context.sources:
        offset = np.subtract(image.ImagePositionPatient, source.ImagePositionPatient).astype(float)
        height = offset @ normal
        moved[np.abs(heights - height) < _SAME] = offset - height * normal
    return points - moved


def _assert_same_frames(image: SimpleITK.Image, data_set: Dataset) -> None:
    """ITK's DICOM reader forgets the last byte where the pixels do not fill it; what it shows of them is memory."""
    read, written = SimpleITK.GetArrayFromImage(image) > 0, data_set.pixel_array > 0
    assert read.shape == written.shape
    whole = written.size - written.size % 8
    np.testing.assert_array_equal(read.reshape(-1)[:whole], written.reshape(-1)[:whole])


@pytest.mark.parametrize("name", WITH_GEOMETRY, ids=_ids(WITH_GEOMETRY))
def test_simpleitk_reads_the_frames_where_they_lie(name: str, tmp_path: Path) -> None:
    """SimpleITK reads the file itself: every frame, the direction, and the first frame's position (S8).

    It takes the pixels of a segmentation to be one millimetre wide, as it does not read the shared Pixel Measures;
    spacing comes with dcmqi.
    """
    evidence = evidence_of_source(name)
    data_set = evidence.of_form(*BINARY_FORMS)
    file = tmp_path / "mask.dcm"
    file.write_bytes(_binary(evidence).part10)

    image = SimpleITK.ReadImage(file)

    _assert_same_frames(image, data_set)
    first = data_set.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    np.testing.assert_allclose(image.GetOrigin(), first, atol=_SAME)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    orientation = np.array(evidence.context.sources[0].ImageOrientationPatient, float).reshape(2, 3)
    np.testing.assert_allclose(direction[:, :2].T, orientation, atol=1e-6)


@pytest.mark.parametrize("name", SERIES, ids=_ids(list(SERIES)))
def test_highdicom_reads_the_mask_of_each_image(name: str) -> None:
    """highdicom gives the mask of each source image back, also of one that has no place in the patient."""
    evidence = evidence_of_source(name)
    for one in evidence.objects:
        if one.role is not EvidenceRole.SEGMENTATION or one.form is EvidenceForm.FRACTIONAL:
            continue
        read = highdicom.seg.segread(BytesIO(one.part10))

        numbers = {item.SegmentLabel: int(item.SegmentNumber) for item in read.SegmentSequence}
        present = [one for one in SEGMENTS if one.label in numbers]  # all, or one in an object of its own
        assert present
        masks = pixels_by_image(
            read,
            evidence.context.sources,
            segment_numbers=[numbers[one.label] for one in present],
            assert_missing_frames_are_empty=True,
        )

        for place, segment in enumerate(present):
            np.testing.assert_array_equal(masks[..., place], evidence.labels == segment.number)


@pytest.mark.parametrize("name", WITHOUT_GEOMETRY, ids=_ids(WITHOUT_GEOMETRY))
def test_readers_of_images_without_a_place(name: str, tmp_path: Path) -> None:
    """SimpleITK reads the frames of a radiograph's mask; dcmqi says that it needs a plane, and reads none."""
    evidence = evidence_of_source(name)
    file = tmp_path / "mask.dcm"
    file.write_bytes(_binary(evidence).part10)

    image = SimpleITK.ReadImage(file)
    program = Path(sys.executable).parent / "segimage2itkimage"
    run = subprocess.run(
        [program, "--inputDICOM", file, "--outputDirectory", tmp_path], capture_output=True, text=True, check=False
    )

    _assert_same_frames(image, evidence.of_form(*BINARY_FORMS))
    assert run.returncode != 0
    assert "Plane Orientation (Patient) is missing" in run.stdout + run.stderr
