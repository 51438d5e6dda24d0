"""Readers that are not ours get the segments back from a label map."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless

from inference.evidence.label_map import build_label_map
from inference.evidence.segment_findings import pair
from tests.conformance.iod_check import missing_attributes
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    make_context,
    make_findings,
    make_labels,
    make_series,
)

SERIES = {
    "axial": SourceSeries(),
    "sagittal": SourceSeries(modality="MR", orientation="sagittal"),
    "oblique": SourceSeries(orientation="oblique"),
    "reversed": SourceSeries(reverse=True),
    "odd-matrix": SourceSeries(shape=(7, 181, 157)),
}


def built(series: SourceSeries, absent: int = 0):
    """The job's context, its labels, and the object; the label ``absent`` has no voxel."""
    context = make_context(make_series(series))
    labels = make_labels(series.shape)
    labels[labels == absent] = 0
    found = pair(labels, (LIVER, NODULE), make_findings(context, labels, (LIVER, NODULE)))
    return context, labels, build_label_map(context, labels, found)


@pytest.mark.parametrize("series", SERIES.values(), ids=SERIES)
def test_dcmqi_finds_every_voxel_at_its_place_in_the_patient(series, tmp_path):
    """The converter behind 3D Slicer's plugin reads the labels back, voxel for voxel in patient coordinates (S8)."""
    context, labels, evidence = built(series)
    (tmp_path / "label-map.dcm").write_bytes(evidence.part10)
    program = Path(sys.executable).parent / "segimage2itkimage"

    subprocess.run(
        [program, "--inputDICOM", tmp_path / "label-map.dcm", "--outputDirectory", tmp_path, "-t", "nii"],
        check=True,
        capture_output=True,
    )
    image = nibabel.load(tmp_path / "1.nii.gz")
    described = json.loads((tmp_path / "meta.json").read_text())["segmentAttributes"]
    names = {item["labelID"]: item["SegmentLabel"] for group in described for item in group}

    values = np.asarray(image.dataobj)
    for segment in (LIVER, NODULE):
        [number] = [number for number, name in names.items() if name == segment.label]
        ras = np.argwhere(values == number) @ image.affine[:3, :3].T + image.affine[:3, 3]
        assert _rounded(ras * (-1, -1, 1)) == _rounded(_places(context, labels == segment.number))


def test_every_mandatory_attribute_is_there():
    """No attribute of type 1 or 2 of a mandatory module is missing in the Standard's own tables (S1)."""
    data_set = dcmread(BytesIO(built(SourceSeries())[2].part10))

    assert data_set.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"  # Label Map Segmentation Storage
    assert data_set.file_meta.TransferSyntaxUID == RLELossless
    assert missing_attributes(data_set) == []


def test_a_pixel_has_the_number_of_its_segment_and_numbers_have_no_gap():
    """A segment without a voxel is left out; the one behind it takes its number."""
    context, labels, evidence = built(SourceSeries(), absent=LIVER.number)
    data_set = dcmread(BytesIO(evidence.part10))

    assert [str(item.SegmentLabel) for item in data_set.SegmentSequence] == ["Background", NODULE.label]
    slices = {str(source.SOPInstanceUID): index for index, source in enumerate(context.sources)}
    read = np.zeros_like(labels)
    frames = data_set.pixel_array.reshape(-1, data_set.Rows, data_set.Columns)
    for frame, groups in zip(frames, data_set.PerFrameFunctionalGroupsSequence, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        read[slices[str(source)]] = frame
    np.testing.assert_array_equal(read, (labels == NODULE.number).astype(np.uint8))


def test_the_same_job_gives_the_same_bytes_and_uids_of_its_own():
    """Beside the binary form it is another object in another series."""
    (context, _, first), (_, _, second) = built(SourceSeries()), built(SourceSeries())

    assert first.part10 == second.part10
    assert first.sop_instance_uid != context.identity.uid("segmentation")
    assert first.series_instance_uid != context.identity.uid("segmentation-series")


def _places(context, mask):
    """PS3.3 equation C.7.6.2.1-1 for each voxel of the mask."""
    places = []
    for image, plane in zip(context.sources, mask, strict=True):
        along_row, along_column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        rows, columns = np.nonzero(plane)
        places.append(
            np.array(image.ImagePositionPatient, float)
            + columns[:, None] * float(image.PixelSpacing[1]) * along_row
            + rows[:, None] * float(image.PixelSpacing[0]) * along_column
        )
    return np.concatenate(places)


def _rounded(points):
    return {tuple(point) for point in np.round(points, 2) + 0.0}
