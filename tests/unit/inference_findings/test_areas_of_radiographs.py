"""A radiograph is a volume of one slice, in which areas are measured and bright things are bright."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from inference.algorithms.manifest import parse_manifest
from inference.findings.measurement import AREA, SQUARE_CENTIMETER
from inference.pipeline import NotAnalysed
from storage.domain.result import EvidenceRole, NewResult
from tests.peers.analysis import analysed, segmented
from tests.peers.synthetic_series import kept, slice_headers
from tests.peers.tiny_algorithm import manifest_with, write_tiny_algorithm

ROWS, COLUMNS = 20, 30


def _radiograph(folder: Path, photometric: str = "MONOCHROME2", **attributes: object) -> Path:
    """A bright rectangle of 6 x 10 pixels of 0.5 x 0.25 mm on darker ground."""

    def edit(_: int, ds: Dataset) -> None:
        ds.Modality, ds.BodyPartExamined, ds.ViewPosition, ds.ImagerPixelSpacing = "DX", "CHEST", "PA", [0.5, 0.25]
        ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
        ds.PhotometricInterpretation = photometric
        for keyword in (
            *("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"),
            *("SliceThickness", "PixelSpacing"),
        ):
            delattr(ds, keyword)
        values = np.full((ROWS, COLUMNS), 10, "<u2")
        values[4:10, 8:18] = 200
        ds.PixelData = (values if photometric == "MONOCHROME2" else 210 - values).astype("<u2").tobytes()
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)

    (instance,) = kept(slice_headers(count=1, size=(ROWS, COLUMNS), edit=edit), folder)
    return instance.path


def _algorithm(folder: Path) -> Path:
    contract = {"modalities": ["DX"], "projection": True, "min_slices": 1}
    return write_tiny_algorithm(folder / "algorithm", input=contract, outputs={"measurements": ["area"]})


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_the_bright_part_is_outlined_where_it_is(tmp_path: Path, photometric: str) -> None:
    """In MONOCHROME1 low values are bright; the network sees both alike, and the outline lies on the same pixels."""
    image = _radiograph(tmp_path, photometric)

    result = analysed([image], _algorithm(tmp_path))

    assert isinstance(result, NewResult)
    expected = np.zeros((ROWS, COLUMNS), bool)
    expected[4:10, 8:18] = True
    assert (segmented(result, [image])[0] == expected).all()
    (area,) = result.findings[0].measurements
    assert (area.name, area.unit, area.value) == (AREA, SQUARE_CENTIMETER, pytest.approx(60 * 0.5 * 0.25 / 100))
    assert [picture.title for picture in result.pictures] == ["Radiograph"]


def test_pixels_of_unknown_size_are_outlined_and_not_measured(tmp_path: Path) -> None:
    """Old radiographs state a spacing of 0, or none: no area is made up, and no object repeats the zero."""
    image = _radiograph(tmp_path, PixelSpacing=[0, 0], ImagerPixelSpacing=None)

    result = analysed([image], _algorithm(tmp_path))

    assert isinstance(result, NewResult)
    assert result.findings[0].measurements == ()
    assert "not measured: the images do not say how large their pixels are" in result.report_text
    assert "DX 1, 1 image\n" in result.report_text or ", 1 image\n" in result.report_text
    roles = {one.role for one in result.evidence}
    assert {EvidenceRole.SEGMENTATION, EvidenceRole.REPORT} <= roles
    (seg,) = (one for one in result.evidence if one.role is EvidenceRole.SEGMENTATION)
    assert b"\x28\x00\x30\x00" not in seg.part10  # Pixel Spacing (0028,0030), little endian


def test_a_volume_algorithm_does_not_take_a_radiograph(tmp_path: Path) -> None:
    """Without `projection` a single image is no volume."""
    folder = write_tiny_algorithm(tmp_path / "algorithm", input={"modalities": ["DX"]}, outputs={"measurements": []})

    result = analysed([_radiograph(tmp_path)], folder)

    assert isinstance(result, NotAnalysed)
    assert result.reason.code == "too-few-slices"


@pytest.mark.parametrize(
    ("contract", "measurements"),
    [({"modalities": ["DX"], "projection": True, "min_slices": 1}, ["volume"]), ({"modalities": ["MR"]}, ["area"])],
)
def test_what_cannot_be_measured_is_refused_in_the_manifest(
    contract: dict[str, object], measurements: list[str]
) -> None:
    """A projection has no volumes, a volume no area."""
    document = manifest_with(input=contract)
    document["outputs"]["measurements"] = measurements

    with pytest.raises(ValueError, match="area"):
        parse_manifest(document)
