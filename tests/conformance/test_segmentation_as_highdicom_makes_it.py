"""Our segmentation, of which highdicom sees the first image only, says what highdicom says when it sees them all."""

from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
import pytest
from highdicom.seg import Segmentation
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from inference.evidence.build import EvidenceContext
from inference.evidence.context import service_version
from inference.evidence.references import name_frames
from inference.evidence.segment_findings import FoundSegment, Labels, pair
from inference.evidence.segment_parts import segment_description
from inference.evidence.segmentation import build_segmentation
from inference.evidence.sources import image_stand_ins
from tests.conformance.every_evidence import SEGMENTS
from tests.conformance.source_modalities import SERIES
from tests.conformance.source_series import SourceSeries, make_context, make_findings, make_labels, make_series

SHAPE = (9, 16, 24)  # whose frames end at bytes
# What attributes.complete says of every object: patient, study, equipment, times, series; and what is random.
OF_EVERY_OBJECT = frozenset({
    "AccessionNumber", "BodyPartExamined", "ContentDate", "ContentQualification", "ContentTime",
    "ContributingEquipmentSequence", "DeviceSerialNumber", "DimensionOrganizationUID", "ImageLaterality",
    "InstanceCreationDate", "InstanceCreationTime", "InstitutionName", "IssuerOfPatientID", "Laterality",
    "Manufacturer", "ManufacturerModelName", "PatientAge", "PatientBirthDate", "PatientID", "PatientName",
    "PatientOrientation", "PatientSex", "ReferringPhysicianName", "SeriesDate", "SeriesDescription", "SeriesNumber",
    "SeriesTime", "SoftwareVersions", "SpecificCharacterSet", "StudyDate", "StudyDescription", "StudyID", "StudyTime",
    "TimezoneOffsetFromUTC",
})  # fmt: skip


def _shuffled(images: list[Dataset]) -> list[Dataset]:
    return [images[place] for place in (4, 0, 8, 2, 6, 1, 3, 7, 5)]


def _with(images: list[Dataset], **attributes: object) -> list[Dataset]:
    for image in images:
        for keyword, value in attributes.items():
            setattr(image, keyword, value)
    return images


def _with_many_digits(images: list[Dataset]) -> list[Dataset]:
    for index, image in enumerate(images):
        image.ImagePositionPatient = [-90.123456789012, 1e-7 * index, 40 + 2.5 * index + 1 / 3]
    return images


def _rounded_anew(images: list[Dataset]) -> list[Dataset]:
    for index, image in enumerate(images):
        image.ImageOrientationPatient = [1, 0, 1e-7 * index, 0, 1, 0]
    return images


STACKS: dict[str, Callable[[list[Dataset]], list[Dataset]]] = {
    "in order": lambda images: images,
    "reversed": lambda images: images[::-1],
    "shuffled": _shuffled,
    "one missing": lambda images: images[:4] + images[5:],
    "distance stated": lambda images: _with(images, SpacingBetweenSlices="2.5"),
    "distance misstated": lambda images: _with(images, SpacingBetweenSlices="5"),
    "places of many digits": _with_many_digits,
    "directions rounded anew": _rounded_anew,
    "one image": lambda images: images[3:4],
    "one image, distance stated": lambda images: _with(images[3:4], SpacingBetweenSlices="3"),
}


@pytest.mark.parametrize("found", ["both", "one", "one with a gap", "one on one slice"])
@pytest.mark.parametrize("stack", list(STACKS), ids=[name.replace(" ", "-") for name in STACKS])
def test_every_stack_is_described_alike(stack: str, found: str) -> None:
    """Order, places, dimensions, distance, kind of organization, references, pixels: each element is highdicom's."""
    context = make_context(tuple(STACKS[stack](list(make_series(SourceSeries(shape=SHAPE))))))
    labels = make_labels(SHAPE)[: len(context.sources)] if len(context.sources) > 1 else make_labels(SHAPE)[3:4]
    if found != "both":
        labels[labels == 2] = 0
    if found == "one with a gap":
        labels[5:6] = 0
    if found == "one on one slice":
        labels[1:] = 0
        labels[0, 3, 4] = 1

    _compare(context, labels)


@pytest.mark.parametrize("tilt", [0.0, 1.5])
@pytest.mark.parametrize("reverse", [False, True], ids=["along", "against"])
@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal", "oblique"])
def test_every_geometry_is_described_alike(orientation: str, reverse: bool, tilt: float) -> None:
    """Also where the places run against the slice normal, or beside it."""
    series = SourceSeries(orientation=orientation, reverse=reverse, tilt=tilt, shape=SHAPE)

    _compare(make_context(make_series(series)), make_labels(SHAPE))


@pytest.mark.parametrize("name", list(SERIES), ids=[name.replace(" ", "-") for name in SERIES])
def test_every_source_is_described_alike(name: str) -> None:
    """Also frames of multi-frame instances, and images without a place in the patient."""
    images = SERIES[name]()
    labels = make_labels((6, int(images[0].Rows), int(images[0].Columns)))

    _compare(make_context(images), labels[2:3] if len(images) == 1 else labels[: len(images)])


def test_images_at_one_place_are_refused() -> None:
    """A frame could not be told from the other at its place."""
    images = make_series(SourceSeries(shape=SHAPE))
    images[3].ImagePositionPatient = images[2].ImagePositionPatient

    with pytest.raises(ValueError, match="lie at one place"):
        _ours(make_context(images), make_labels(SHAPE))


def test_several_images_without_places_are_refused() -> None:
    """Nobody could tell in which order their frames lie."""
    images = make_series(SourceSeries(shape=SHAPE))
    for image in images:
        del image.ImagePositionPatient

    with pytest.raises(ValueError, match="no places in the patient"):
        _ours(make_context(images), make_labels(SHAPE))


def test_images_of_two_sizes_are_refused() -> None:
    """The frames could not lie on both."""
    images = make_series(SourceSeries(shape=SHAPE))
    images[3].Rows = 17

    with pytest.raises(ValueError, match="differ in Rows"):
        _ours(make_context(images), make_labels(SHAPE))


def _compare(context: EvidenceContext, labels: Labels) -> None:
    ours, theirs = _ours(context, labels), _by_highdicom(context, labels)
    kept = {element.keyword for element in (*ours, *theirs)} - OF_EVERY_OBJECT
    assert {"PerFrameFunctionalGroupsSequence", "ReferencedSeriesSequence", "SourceImageSequence"} <= kept
    for keyword in sorted(kept):
        assert ours.get(keyword) == theirs.get(keyword), keyword


def _ours(context: EvidenceContext, labels: Labels) -> Dataset:
    return _read(build_segmentation(context, labels, _found(context, labels)).part10)


def _by_highdicom(context: EvidenceContext, labels: Labels) -> Dataset:
    present = [one for one in _found(context, labels) if one.number]
    seg = Segmentation(
        source_images=image_stand_ins(context.sources),
        pixel_array=_masks(labels, present),
        segmentation_type="BINARY",
        segment_descriptions=[segment_description(context, one) for one in present],
        series_instance_uid=context.identity.uid("segmentation-series"),
        series_number=1,
        sop_instance_uid=context.identity.uid("segmentation"),
        instance_number=1,
        manufacturer="Overread",
        manufacturer_model_name="Overread",
        software_versions=service_version(),
        device_serial_number="1",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="AI_SEGMENTATION",
        content_description=context.mark,
    )
    name_frames([seg], context.sources)
    shared = seg.SharedFunctionalGroupsSequence[0]
    segment = shared.pop("SegmentIdentificationSequence", None)
    for frame in seg.PerFrameFunctionalGroupsSequence if segment is not None else ():
        frame["SegmentIdentificationSequence"] = segment
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = context.identity.uid("segmentation-dimensions")
    buffer = BytesIO()
    seg.save_as(buffer)
    return _read(buffer.getvalue())


def _found(context: EvidenceContext, labels: Labels) -> Sequence[FoundSegment]:
    return pair(labels, SEGMENTS, make_findings(context, labels, SEGMENTS))


def _masks(labels: Labels, present: Sequence[FoundSegment]) -> np.ndarray:
    return np.stack([labels == one.segment.number for one in present], axis=-1).astype(np.uint8)


def _read(file: bytes) -> Dataset:
    return dcmread(BytesIO(file))
