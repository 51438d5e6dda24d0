"""Readers that are not ours get the segments back from the contours of a structure set."""

import subprocess
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian

from inference.evidence.build import Segmented, further_evidence
from inference.evidence.segment_findings import pair
from inference.imaging.frames import image_key
from storage.domain.result import EvidenceObject, EvidenceRole
from tests.conformance.iod_check import missing_attributes
from tests.conformance.source_modalities import SERIES, WITH_GEOMETRY, segmented
from tests.conformance.source_series import LIVER, NODULE, make_findings
from tests.peers.multi_frame import image_of

# plastimatch fills contours of axial slices at equal distances only.
_FILLED_BY_PLASTIMATCH = ("CT axial", "CT reversed", "CT odd matrix", "PT")

Mask = npt.NDArray[np.bool_]


@pytest.fixture(scope="module", params=WITH_GEOMETRY, ids=[name.replace(" ", "-") for name in WITH_GEOMETRY])
def result(request: pytest.FixtureRequest) -> Segmented:
    """Each kind of series in turn, with holes in the liver: of one pixel, and of several that touch at corners."""
    return with_holes(request.param)


def with_holes(name: str) -> Segmented:
    """What was found in the series of this name, with holes."""
    whole = segmented(name)
    labels = whole.labels.copy()
    middle = len(labels) // 2
    labels[middle, 5, 6] = 0
    labels[middle, 7:9, 8] = labels[middle, 9, 9] = labels[middle, 7, 11:13] = 0
    findings = make_findings(whole.context, labels, (LIVER, NODULE))
    return Segmented(whole.context, labels, pair(labels, (LIVER, NODULE), findings))


def built(result: Segmented) -> EvidenceObject:
    """The one structure set."""
    (evidence,) = further_evidence(result, EvidenceRole.STRUCTURE_SET)
    return evidence


def test_dciodvfy_and_dcmtk_read_it(result: Segmented, tmp_path: Path) -> None:
    """dciodvfy finds no error, DCMTK's reader of structure sets opens it, and no mandatory attribute is missing."""
    file = tmp_path / "structure-set.dcm"
    file.write_bytes(built(result).part10)

    checked = subprocess.run(["dciodvfy", "-new", file], capture_output=True, text=True, check=False)
    opened = subprocess.run(["drtdump", file], capture_output=True, text=True, check=False)

    assert [line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith("Error")] == []
    assert checked.returncode == opened.returncode == 0
    assert "RT Structure Set object" in opened.stdout
    assert missing_attributes(dcmread(file)) == []


def test_the_contours_hold_the_pixels_of_the_mask_and_no_other(result: Segmented) -> None:
    """A pixel's centre lies inside by the even-odd rule, in its image's plane, exactly when the mask has the pixel."""
    dataset = dcmread(BytesIO(built(result).part10))

    for item, one in zip(dataset.ROIContourSequence, result.found, strict=True):
        assert item.ReferencedROINumber == one.number
        assert list(item.ROIDisplayColor) == list(one.segment.rgb)
        np.testing.assert_array_equal(_filled(item, result), result.labels == one.segment.number)


@pytest.mark.parametrize("name", _FILLED_BY_PLASTIMATCH)
def test_plastimatch_fills_the_contours_to_the_mask(name: str, tmp_path: Path) -> None:
    """A planning tool that shares no code with ours gets the same voxels, holes included."""
    result = with_holes(name)
    (tmp_path / "source").mkdir()
    for place, source in enumerate(result.context.sources):
        source.save_as(tmp_path / "source" / f"{place}.dcm", enforce_file_format=True)
    (tmp_path / "structure-set.dcm").write_bytes(built(result).part10)

    _plastimatch(tmp_path, "--input", "source", "--output-img", "source.nii")
    options = ("--fixed", "source.nii", "--output-prefix", "filled", "--prefix-format", "nii")
    _plastimatch(tmp_path, "--input", "structure-set.dcm", *options)

    for one in result.found:
        filled = np.asarray(nibabel.load(tmp_path / "filled" / f"{one.segment.label}.nii").dataobj)
        expected = (result.labels == one.segment.number)[:: -1 if name == "CT reversed" else 1]
        np.testing.assert_array_equal(filled.transpose(2, 1, 0) > 0, expected)


@pytest.mark.parametrize("name", sorted({*SERIES} - {*WITH_GEOMETRY}))
def test_an_image_without_a_place_in_the_patient_has_no_structure_set(name: str) -> None:
    """A contour is nothing but patient coordinates, so a projection has none; none is invented."""
    assert further_evidence(segmented(name), EvidenceRole.STRUCTURE_SET) == ()


def test_a_contour_longer_than_an_explicit_length_is_whole() -> None:
    """Contour Data of more than 65,534 bytes is written and read back: hence Implicit VR Little Endian."""
    whole = segmented("CT axial")
    labels = np.zeros((6, 128, 128), np.uint8)
    labels[3] = np.random.default_rng(0).random((128, 128)) < 0.9
    for source in whole.context.sources:
        source.Rows, source.Columns = labels.shape[1:]
    found = pair(labels, (LIVER, NODULE), make_findings(whole.context, labels, (LIVER, NODULE)))

    evidence = built(Segmented(whole.context, labels, found))
    dataset = dcmread(BytesIO(evidence.part10))

    assert evidence.transfer_syntax_uid == dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    [liver] = dataset.ROIContourSequence
    assert max(contour.get_item("ContourData").length for contour in liver.ContourSequence) > 65_534
    assert [len(one.ContourData) for one in liver.ContourSequence] == [
        3 * one.NumberOfContourPoints for one in liver.ContourSequence
    ]


def _plastimatch(folder: Path, *arguments: str) -> None:
    subprocess.run(["plastimatch", "convert", *arguments], cwd=folder, capture_output=True, check=True)


def _filled(item: Dataset, result: Segmented) -> Mask:
    filled = np.zeros(result.labels.shape, np.bool_)
    places = {image_key(source): place for place, source in enumerate(result.context.sources)}
    for contour in item.ContourSequence:
        place = places[image_of(contour.ContourImageSequence[0])]
        points = np.array(contour.ContourData, np.float64).reshape(-1, 3)
        filled[place] ^= _inside(_indices(points, result.context.sources[place]), filled[place].shape)
    return filled


def _indices(points: npt.NDArray[np.float64], source: Dataset) -> npt.NDArray[np.float64]:
    """(column, row) of points in the patient, 0 at the centre of the first pixel; they have to lie in the image."""
    across, down = np.array(source.ImageOrientationPatient, np.float64).reshape(2, 3)
    offset = points - np.array(source.ImagePositionPatient, np.float64)
    assert np.abs(offset @ np.cross(across, down)).max() < 1e-3
    spacing = [float(value) for value in source.PixelSpacing]
    return np.stack((offset @ across / spacing[1], offset @ down / spacing[0]), axis=1)


def _inside(points: npt.NDArray[np.float64], shape: tuple[int, ...]) -> Mask:
    row, column = np.mgrid[: shape[0], : shape[1]]
    inside = np.zeros(shape, np.bool_)
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if abs(y2 - y1) > 1e-2:  # a channel is level, at a row of centres, and goes both ways
            between = (y1 > row) != (y2 > row)
            inside ^= between & (column < x1 + (row - y1) / (y2 - y1) * (x2 - x1))
    return inside
