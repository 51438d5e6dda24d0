"""Readers that are not ours get each structure back from an object of its own."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from inference.evidence.build import build_evidence
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole
from tests.conformance.every_evidence import evidence_of_source
from tests.conformance.patient_places import places_in_nifti, places_in_series
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    make_context,
    make_findings,
    make_labels,
    make_series,
)
from tests.conformance.test_label_map_conformance import SERIES

_FORMS = (EvidenceForm.BINARY_PER_SEGMENT, EvidenceForm.BINARY_PER_SEGMENT_UNALIGNED)


def built(series: SourceSeries, absent: int = 0):
    """The job's context, its labels, and everything that is made; the label ``absent`` has no voxel."""
    context = make_context(make_series(series))
    labels = make_labels(series.shape)
    labels[labels == absent] = 0
    findings = make_findings(context, labels, (LIVER, NODULE))
    return context, labels, build_evidence(context, labels, (LIVER, NODULE), findings, frozenset(EvidenceForm))


def per_segment(evidence: tuple[EvidenceObject, ...]) -> list[EvidenceObject]:
    """The objects of one segment each, in the order of the segments."""
    return [one for one in evidence if one.form in _FORMS]


def read(one: EvidenceObject) -> Dataset:
    """From its bytes."""
    return dcmread(BytesIO(one.part10))


@pytest.mark.parametrize("series", SERIES.values(), ids=SERIES)
def test_dcmqi_finds_every_voxel_of_each_structure_in_its_own_object(series, tmp_path):
    """The converter behind 3D Slicer's plugin reads one segment of each object, at its place in the patient (S8)."""
    context, labels, evidence = built(series)
    program = Path(sys.executable).parent / "segimage2itkimage"

    for segment, one in zip((LIVER, NODULE), per_segment(evidence), strict=True):
        folder = tmp_path / str(segment.number)
        folder.mkdir()
        (folder / "seg.dcm").write_bytes(one.part10)
        subprocess.run(
            [program, "--inputDICOM", folder / "seg.dcm", "--outputDirectory", folder, "-t", "nii"],
            check=True,
            capture_output=True,
        )
        image = nibabel.load(folder / "1.nii.gz")
        [[described]] = json.loads((folder / "meta.json").read_text())["segmentAttributes"]

        assert described["SegmentLabel"] == segment.label
        mask = (labels == segment.number).astype(np.float32)
        assert places_in_nifti(image) == places_in_series(context.sources, mask)


def test_each_object_is_a_series_with_uids_of_its_own():
    """OHIF takes the last segmentation of a series; no UID is that of another object, or of another form (S15)."""
    _, _, evidence = built(SourceSeries())

    ours = per_segment(evidence)
    assert len(ours) == 2
    segmentations = [read(one) for one in evidence if one.role is EvidenceRole.SEGMENTATION]
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert len({str(one[keyword].value) for one in segmentations}) == len(segmentations)
    dimensions = {str(one.DimensionOrganizationSequence[0].DimensionOrganizationUID) for one in segmentations}
    assert len(dimensions) == len(segmentations)


def test_each_has_the_tracking_uid_of_its_structure_and_its_name():
    """What ties a structure to report and contours is the same in every form; the series is named after it."""
    _, _, evidence = built(SourceSeries())

    [whole] = [read(one) for one in evidence if one.form is EvidenceForm.BINARY]
    alone = [read(one) for one in per_segment(evidence)]
    assert [one.SegmentSequence[0].TrackingUID for one in alone] == [one.TrackingUID for one in whole.SegmentSequence]
    for described, one in zip(whole.SegmentSequence, alone, strict=True):
        [segment] = one.SegmentSequence
        assert segment.SegmentNumber == 1
        assert segment.SegmentLabel == described.SegmentLabel
        assert described.SegmentLabel in one.SeriesDescription
        assert len(one.SeriesDescription) <= 64
        assert "not verified" in one.SeriesDescription


def test_a_structure_without_a_voxel_has_no_object():
    """A Segmentation without a frame is not allowed; the other structure keeps the UIDs that it has beside it."""
    _, _, both = built(SourceSeries())
    _, _, one = built(SourceSeries(), absent=LIVER.number)

    [alone] = per_segment(one)
    assert alone.sop_instance_uid == per_segment(both)[1].sop_instance_uid
    assert read(alone).SegmentSequence[0].SegmentLabel == NODULE.label


def test_where_frames_share_bytes_the_form_says_so():
    """A viewer that reads shared bytes wrongly reads them wrongly here too, so such an object is another form."""
    _, _, odd = built(SourceSeries(shape=(7, 181, 157)))
    _, _, even = built(SourceSeries())

    assert {one.form for one in per_segment(odd)} == {EvidenceForm.BINARY_PER_SEGMENT_UNALIGNED}
    assert {one.form for one in per_segment(even)} == {EvidenceForm.BINARY_PER_SEGMENT}


def test_without_a_wish_for_it_none_is_made():
    """The default is one object for all."""
    context, labels, _ = built(SourceSeries())
    findings = make_findings(context, labels, (LIVER, NODULE))

    assert per_segment(build_evidence(context, labels, (LIVER, NODULE), findings)) == []


@pytest.mark.parametrize("name", ["CT axial"])
def test_every_source_has_them(name):
    """The checks over every kind of source see these objects as well."""
    assert len([one for one in evidence_of_source(name).objects if one.form in _FORMS]) == 2
