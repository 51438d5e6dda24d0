"""What our segmentation says of itself and of its sources."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from inference.errors import UnusableInput
from inference.evidence import further
from inference.evidence.build import EvidenceContext, build_evidence
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole
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

SEGMENTS = (LIVER, NODULE)


def _build(context: EvidenceContext, labels: np.ndarray | None = None) -> tuple[EvidenceObject, ...]:
    source = context.sources[0]
    labels = make_labels((len(context.sources), source.Rows, source.Columns)) if labels is None else labels
    return build_evidence(context, labels, SEGMENTS, make_findings(context, labels, SEGMENTS))


def _segmentation(context: EvidenceContext) -> Dataset:
    return evidence_dataset(_build(context), EvidenceRole.SEGMENTATION)


@pytest.fixture(scope="module")
def context() -> EvidenceContext:
    """A plain job."""
    return make_context(make_series())


@pytest.fixture(scope="module")
def seg(context: EvidenceContext) -> Dataset:
    """Its segmentation, read back."""
    return _segmentation(context)


@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal", "oblique"])
@pytest.mark.parametrize("reverse", [False, True], ids=["along", "against"])
def test_each_frame_names_the_image_it_lies_on(orientation: str, reverse: bool) -> None:
    """Every frame has a Derivation Image Sequence whose image stands at the frame's position (S3, S4)."""
    context = make_context(make_series(SourceSeries(orientation=orientation, reverse=reverse)))
    by_uid = {image.SOPInstanceUID: image for image in context.sources}

    for frame in _segmentation(context).PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        image = by_uid[source.ReferencedSOPInstanceUID]

        assert source.SpatialLocationsPreserved == "YES"
        difference = np.subtract(frame.PlanePositionSequence[0].ImagePositionPatient, image.ImagePositionPatient)
        assert np.abs(difference).max() < 1e-3


@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal", "oblique"])
def test_the_source_grid_is_kept(orientation: str) -> None:
    """Matrix, orientation, spacing and frame of reference are those of the source (S5)."""
    context = make_context(make_series(SourceSeries(orientation=orientation)))
    seg, source = _segmentation(context), context.sources[0]
    shared = seg.SharedFunctionalGroupsSequence[0]

    assert (seg.Rows, seg.Columns) == (source.Rows, source.Columns)
    assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert shared.PixelMeasuresSequence[0].PixelSpacing == source.PixelSpacing
    assert shared.PixelMeasuresSequence[0].SpacingBetweenSlices == pytest.approx(2.5)
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == source.ImageOrientationPatient


def test_exactly_the_source_series_is_referenced(context: EvidenceContext, seg: Dataset) -> None:
    """The Referenced Series Sequence has one item, with all the images that were analysed (S6)."""
    (series,) = seg.ReferencedSeriesSequence

    assert series.SeriesInstanceUID == context.sources[0].SeriesInstanceUID
    named = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    assert named == {image.SOPInstanceUID for image in context.sources}


def test_each_segment_is_described(context: EvidenceContext, seg: Dataset) -> None:
    """Label, codes, algorithm, tracking and a colour of its own stand with each segment (S7)."""
    assert [item.SegmentNumber for item in seg.SegmentSequence] == [1, 2]
    for item, segment in zip(seg.SegmentSequence, SEGMENTS, strict=True):
        (algorithm,) = item.SegmentationAlgorithmIdentificationSequence
        assert item.SegmentLabel == segment.label
        assert item.SegmentAlgorithmType == "AUTOMATIC"
        assert item.SegmentedPropertyCategoryCodeSequence[0].CodeValue == segment.category.value
        assert item.SegmentedPropertyTypeCodeSequence[0].CodeValue == segment.type.value
        assert item.TrackingUID == context.identity.uid(f"tracking {segment.label}")
        assert item.TrackingID == f"{segment.label} 1"
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("Sample organ finder", "1.2.3")
        assert "a" * 64 in algorithm.AlgorithmParameters
    colors = {tuple(item.RecommendedDisplayCIELabValue) for item in seg.SegmentSequence}
    assert len(colors) == 2


@pytest.mark.parametrize("slices", [5, 6, 7, 21, 22])
def test_bit_packed_pixels_have_an_even_length_of_themselves(slices: int) -> None:
    """With frames that share bytes, empty frames make up an even length, and no voxel is added by them (S9)."""
    context = make_context(make_series(SourceSeries(shape=(slices, 181, 157))))
    labels = make_labels((slices, 181, 157))

    seg = evidence_dataset(_build(context, labels), EvidenceRole.SEGMENTATION)

    assert -(-181 * 157 * int(seg.NumberOfFrames) // 8) % 2 == 0
    assert np.count_nonzero(seg.pixel_array) == np.count_nonzero(labels)


def test_without_room_for_empty_frames_the_length_stays() -> None:
    """Each segment has at most one frame per image, so where too few are free no frame is added at all."""
    context = make_context(make_series(SourceSeries(shape=(4, 181, 157))))

    assert _segmentation(context).NumberOfFrames == 4


def test_no_empty_frame_is_written_without_need(seg: Dataset) -> None:
    """Where frames end at byte borders, the segmentation has only frames with voxels."""
    assert seg.pixel_array.any(axis=(1, 2)).all()


def test_a_segment_without_a_voxel_leaves_no_gap(context: EvidenceContext) -> None:
    """When only the second segment was found, it is Segment Number 1 and the first is absent in the report."""
    labels = np.where(make_labels((6, 24, 32)) == 2, 2, 0).astype(np.uint8)

    evidence = _build(context, labels)

    (only,) = evidence_dataset(evidence, EvidenceRole.SEGMENTATION).SegmentSequence
    assert (only.SegmentNumber, only.SegmentLabel) == (1, NODULE.label)
    assert np.count_nonzero(evidence_dataset(evidence, EvidenceRole.SEGMENTATION).pixel_array) == np.count_nonzero(
        labels
    )
    assert [one.role for one in evidence if one.role is not EvidenceRole.SECONDARY_CAPTURE] == [
        EvidenceRole.SEGMENTATION,
        EvidenceRole.REPORT,
    ]


def test_nothing_found_makes_no_segmentation(context: EvidenceContext) -> None:
    """A Segmentation needs a frame, so an empty label array gives a picture, the summary and a report."""
    evidence = _build(context, np.zeros((6, 24, 32), np.uint8))

    assert [one.role for one in evidence] == [EvidenceRole.SECONDARY_CAPTURE] * 2 + [EvidenceRole.REPORT]


def test_the_sources_are_not_changed(context: EvidenceContext) -> None:
    """Building evidence leaves the source data sets as they are."""
    before = [image.to_json() for image in context.sources]

    _build(context)

    assert [image.to_json() for image in context.sources] == before


def test_two_patients_are_refused() -> None:
    """Images that differ in patient, study or frame of reference never become one result."""
    for keyword, value in (("PatientID", "PID-0043"), ("StudyInstanceUID", "1.9"), ("FrameOfReferenceUID", "1.9.1")):
        sources = make_series()
        setattr(sources[3], keyword, value)

        with pytest.raises(UnusableInput) as refusal:
            _build(make_context(sources))

        assert refusal.value.reason.code == "patient-mix"
        assert value not in refusal.value.reason.sentence


def test_labels_of_another_shape_are_refused(context: EvidenceContext) -> None:
    """A label array that is not on the source grid is a programming error."""
    with pytest.raises(ValueError, match="shape"):
        _build(context, np.zeros((5, 24, 32), np.uint8))


def test_a_label_without_a_description_is_refused(context: EvidenceContext) -> None:
    """No voxel is dropped silently."""
    labels = make_labels((6, 24, 32))
    labels[0, 0, 0] = 7

    with pytest.raises(ValueError, match="no segment describes"):
        _build(context, labels)


def test_findings_must_fit_the_segments(context: EvidenceContext) -> None:
    """A missing finding and one of another kind are refused, because tracking would break."""
    labels = make_labels((6, 24, 32))
    liver, nodule = make_findings(context, labels, SEGMENTS)

    with pytest.raises(ValueError, match="exactly one finding"):
        build_evidence(context, labels, SEGMENTS, (liver,))
    with pytest.raises(ValueError, match="exactly one finding"):
        build_evidence(context, labels, SEGMENTS, (liver, replace(nodule, site=None)))


def test_no_file_is_left_behind(context: EvidenceContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence is built in memory."""
    monkeypatch.chdir(tmp_path)

    _build(context)

    assert list(tmp_path.iterdir()) == []


def test_the_segmentation_is_handed_over_before_the_rest_is_made(context: EvidenceContext) -> None:
    """Whoever draws from the segmentation gets the very object of the result, once, and none where nothing is found."""
    labels = make_labels((6, 24, 32))
    findings, told = make_findings(context, labels, SEGMENTS), list[EvidenceObject | None]()

    evidence = build_evidence(context, labels, SEGMENTS, findings, outlined=told.append)
    assert told == [next(one for one in evidence if one.role is EvidenceRole.SEGMENTATION)]

    nothing, told = np.zeros_like(labels), []
    build_evidence(context, nothing, SEGMENTS, make_findings(context, nothing, SEGMENTS), outlined=told.append)
    assert told == [None]


def test_a_fault_of_what_is_made_beside_is_not_lost(context: EvidenceContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that cannot be made ends the job with its own error."""
    labels = make_labels((6, 24, 32))

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(further, "build_document", full)
    with pytest.raises(MemoryError):
        build_evidence(
            context, labels, SEGMENTS, make_findings(context, labels, SEGMENTS), frozenset({EvidenceForm.DOCUMENT})
        )
