"""What a segmentation says of its frames, its segments and its sources holds for every kind of source."""

from collections import Counter

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, SegmentationStorage

from inference.imaging.frames import image_key
from storage.domain.result import EvidenceForm, EvidenceRole
from tests.conformance.every_evidence import BINARY_FORMS, SEGMENTS, Evidence, evidence_of_source
from tests.conformance.source_modalities import SERIES, WITH_GEOMETRY
from tests.peers.multi_frame import image_of

_LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
_MOST_APART = 1e-3  # mm, between the place of a frame and that of its source image


@pytest.fixture(scope="module", params=list(SERIES), ids=[name.replace(" ", "-") for name in SERIES])
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Each modality and geometry in turn."""
    return evidence_of_source(request.param)


def _masks(evidence: Evidence) -> list[Dataset]:
    masks = evidence.of_role(EvidenceRole.SEGMENTATION)
    assert len(masks) == 3 + len(SEGMENTS), "a binary one, one of each segment, a label map and a fractional one"
    return masks


def _frames(mask: Dataset) -> list[tuple[Dataset, np.ndarray]]:
    """The functional groups and the pixels of each frame."""
    pixels = mask.pixel_array.reshape(-1, mask.Rows, mask.Columns)
    return list(zip(mask.PerFrameFunctionalGroupsSequence, pixels, strict=True))


def _source_of(groups: Dataset, evidence: Evidence) -> int:
    """The place among the sources of the one image that a frame is derived from."""
    (derivation,) = groups.DerivationImageSequence
    (reference,) = derivation.SourceImageSequence
    assert reference.SpatialLocationsPreserved == "YES"
    keys = [image_key(image) for image in evidence.context.sources]
    assert reference.ReferencedSOPClassUID == evidence.context.sources[0].SOPClassUID
    return keys.index(image_of(reference))


def test_class_type_and_syntax_are_those_that_readers_take(evidence: Evidence) -> None:
    """The first form is a binary Segmentation without compression; a label map is RLE (S2)."""
    binary, label_map = evidence.of_form(*BINARY_FORMS), evidence.of_form(EvidenceForm.LABEL_MAP)

    assert (binary.SOPClassUID, binary.SegmentationType) == (SegmentationStorage, "BINARY")
    assert binary.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (label_map.SOPClassUID, label_map.SegmentationType) == (_LABEL_MAP, "LABELMAP")
    assert label_map.file_meta.TransferSyntaxUID == RLELossless


def test_every_frame_names_the_image_whose_mask_it_holds(evidence: Evidence) -> None:
    """Each frame is derived from one image that exists, and its pixels are that image's mask; none is left out (S3)."""
    binary = evidence.of_form(*BINARY_FORMS)
    of_binary = Counter()
    for groups, pixels in _frames(binary):
        index = _source_of(groups, evidence)
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        np.testing.assert_array_equal(pixels, evidence.labels[index] == number)
        of_binary[index, number] += pixels.any()
    expected = {(index, one.number) for index, plane in enumerate(evidence.labels) for one in SEGMENTS
                if (plane == one.number).any()}  # fmt: skip
    assert {key for key, count in of_binary.items() if count == 1} == expected

    shown = []
    for groups, pixels in _frames(evidence.of_form(EvidenceForm.LABEL_MAP)):
        shown.append(_source_of(groups, evidence))
        np.testing.assert_array_equal(pixels, evidence.labels[shown[-1]])
    assert sorted(shown) == [index for index, plane in enumerate(evidence.labels) if plane.any()]


def test_every_frame_lies_where_its_image_lies(evidence: Evidence) -> None:
    """A frame's position is its image's, to a thousandth of a millimetre; what has no place is given none (S4)."""
    has_places = "ImagePositionPatient" in evidence.context.sources[0]
    for mask in _masks(evidence):
        for groups, _ in _frames(mask):
            assert ("PlanePositionSequence" in groups) == has_places
            if has_places:
                image = evidence.context.sources[_source_of(groups, evidence)]
                (plane,) = groups.PlanePositionSequence
                apart = np.subtract(plane.ImagePositionPatient, image.ImagePositionPatient)
                assert np.abs(apart).max() < _MOST_APART


def test_the_grid_is_that_of_the_source(evidence: Evidence) -> None:
    """Matrix, orientation, spacing and frame of reference are the source's; none is made up (S5)."""
    source = evidence.context.sources[0]
    for mask in _masks(evidence):
        shared = mask.SharedFunctionalGroupsSequence[0]
        assert (mask.Rows, mask.Columns) == (source.Rows, source.Columns)
        assert mask.get("FrameOfReferenceUID") == source.get("FrameOfReferenceUID")
        if "ImageOrientationPatient" in source:
            orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
            np.testing.assert_allclose(orientation, source.ImageOrientationPatient, atol=1e-6)
            np.testing.assert_allclose(shared.PixelMeasuresSequence[0].PixelSpacing, source.PixelSpacing, rtol=1e-9)
            assert shared.PixelMeasuresSequence[0].SliceThickness == source.SliceThickness
        else:
            assert "PlaneOrientationSequence" not in shared
            assert "PixelMeasuresSequence" not in shared


def test_the_source_series_is_the_one_that_is_named(evidence: Evidence) -> None:
    """Referenced Series Sequence has one item, with all images that were analysed and no other (S6)."""
    sources = evidence.context.sources
    for mask in _masks(evidence):
        (series,) = mask.ReferencedSeriesSequence
        named = [str(item.ReferencedSOPInstanceUID) for item in series.ReferencedInstanceSequence]

        assert series.SeriesInstanceUID == sources[0].SeriesInstanceUID
        assert sorted(named) == sorted({str(image.SOPInstanceUID) for image in sources})


def test_every_segment_is_described_in_full(evidence: Evidence) -> None:
    """Label, category, type, algorithm, tracking and colour stand with each segment, the colours distinct (S7)."""
    identity = evidence.context.identity
    for mask in _masks(evidence):
        described = [item for item in mask.SegmentSequence if item.SegmentNumber]  # 0 is a label map's background
        assert [item.SegmentNumber for item in described] == list(range(1, len(described) + 1))
        labels = {item.SegmentLabel for item in described}
        expected = [one for one in SEGMENTS if len(described) > 1 or one.label in labels]
        for item, segment in zip(described, expected, strict=True):
            (algorithm,) = item.SegmentationAlgorithmIdentificationSequence
            assert item.SegmentLabel == segment.label
            assert item.SegmentAlgorithmType == "AUTOMATIC"
            assert item.SegmentedPropertyCategoryCodeSequence[0].CodeValue == segment.category.value
            assert item.SegmentedPropertyTypeCodeSequence[0].CodeValue == segment.type.value
            assert (item.TrackingID, item.TrackingUID) == (
                f"{segment.label} 1",
                identity.uid(f"tracking {segment.label}"),
            )
            assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("Sample organ finder", "1.2.3")
            assert "a" * 64 in algorithm.AlgorithmParameters
        colours = {tuple(item.RecommendedDisplayCIELabValue) for item in mask.SegmentSequence}
        assert len(colours) == len(mask.SegmentSequence)


def test_a_series_with_places_is_one_of_those_with_geometry() -> None:
    """The list of sources with geometry is what the images themselves say."""
    with_places = [name for name in SERIES if "ImagePositionPatient" in SERIES[name]()[0]]

    assert with_places == WITH_GEOMETRY
