"""What a radiologist sees of our results on a multi-frame instance in OHIF."""

from collections.abc import Sequence

import numpy as np
import pytest
from pydicom import Dataset

from inference.evidence.attributes import series_number
from inference.evidence.build import Segmented, build_evidence, further_evidence
from inference.evidence.result_uids import USUAL_NAMING
from inference.evidence.segment_findings import Labels, pair
from storage.domain.result import EvidenceRole
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    make_context,
    make_findings,
    make_labels,
    make_probabilities,
    make_series,
)
from tests.end_to_end.viewers.conftest import Station, part10
from tests.peers.multi_frame import as_frames, files_of
from tests.peers.ohif import Ohif

_SR = series_number(USUAL_NAMING, EvidenceRole.REPORT)
_SEG = series_number(USUAL_NAMING, EvidenceRole.SEGMENTATION)
_SHAPE = (8, 96, 80)
_MIXED = (3, 0, 5, 7, 1, 4, 6, 2)
# The number of the study, and the places of its slices in the order of frame numbers.
ORDERS = {"in-order": (181, range(8)), "reversed": (182, range(7, -1, -1)), "mixed": (183, _MIXED)}


def _name(image: Dataset) -> str:
    number = int(image.ReferencedFrameNumber)
    return str(image.SOPInstanceUID) if number == 1 else f"{image.SOPInstanceUID}/{number}"


def _stored(
    desk: Station, number: int, order: Sequence[int], *roles: EvidenceRole
) -> tuple[str, tuple[Dataset, ...], Labels]:
    """The study, its frames in slice order, and their labels, of an Enhanced MR instance with its evidence.

    ``roles`` are those of further evidence that is to be there instead of segmentation and report.
    """
    study = f"1.2.826.0.1.3680043.8.498.{number}"
    series = SourceSeries(modality="MR", shape=_SHAPE, study_uid=study)
    images = as_frames(make_series(series), order)
    context, labels = make_context(images), make_labels(_SHAPE)
    findings = make_findings(context, labels, (LIVER, NODULE))
    evidence = build_evidence(context, labels, (LIVER, NODULE), findings)
    if roles:
        found = pair(labels, (LIVER, NODULE), findings)
        result = Segmented(context, labels, found, make_probabilities(labels))
        evidence = tuple(one for role in roles for one in further_evidence(result, role))
    desk.archive.store([*(part10(one) for one in files_of(images)), *(one.part10 for one in evidence)])
    return study, images, labels


@pytest.mark.parametrize("order", ORDERS)
def test_a_mask_lies_on_the_frames_it_was_found_on(desk: Station, reading: list[Ohif], order: str) -> None:
    """An Enhanced MR with its segmentation: every voxel of each segment is on its own frame (S13)."""
    study, images, labels = _stored(desk, *ORDERS[order])
    window = desk.read(study)
    reading.append(window)

    shown = window.show_segmentation(_SEG)

    expected = {_name(image): plane for image, plane in zip(images, labels, strict=True)}
    assert set(shown.masks) == set(expected)
    assert shown.counts() == {number: int((labels == number).sum()) for number in (1, 2)}
    for name, plane in expected.items():
        np.testing.assert_array_equal(shown.masks[name], plane)
    assert [label for label, _ in shown.segments.values()] == ["Liver", "Lung nodule"]
    window.wait_for_picture()
    assert window.alarms() == []


def test_a_report_is_drawn_on_the_frames_it_speaks_of(desk: Station, reading: list[Ohif]) -> None:
    """Each finding is outlined on the frame where it is largest, with its volume beside it (R9)."""
    study, images, labels = _stored(desk, 184, _MIXED)
    window = desk.read(study)
    reading.append(window)

    shown = {one.labels[0]: one.sop_instance_uid for one in window.show_report(_SR)}

    voxel = 0.8 * 0.8 * 2.5
    volumes = [f"Volume: {np.count_nonzero(labels == number) * voxel:.2f} mm3" for number in (1, 2)]
    largest = [int((labels == number).sum(axis=(1, 2)).argmax()) for number in (1, 2)]
    assert shown == {volume: _name(images[index]) for volume, index in zip(volumes, largest, strict=True)}
    window.wait_for_picture()
    assert window.alarms() == []


@pytest.mark.parametrize("desk", ["orthanc"], indirect=True)
@pytest.mark.parametrize("order", ORDERS)
def test_a_map_lies_on_the_frames_it_was_made_of(desk: Station, reading: list[Ohif], order: str) -> None:
    """Every probability is over the frame that the network saw, in whatever order the frames are (P7)."""
    number, places = ORDERS[order]
    study, images, labels = _stored(desk, number + 10, places, EvidenceRole.PARAMETRIC_MAP)
    window = desk.read(study)
    reading.append(window)

    shown = window.show_map("map of Liver")

    for image, values in zip(images, make_probabilities(labels).of(LIVER.number), strict=True):
        np.testing.assert_allclose(shown[_name(image)], values, atol=1e-6)
    assert window.alarms() == []


@pytest.mark.parametrize("desk", ["orthanc"], indirect=True)
def test_contours_are_drawn_on_their_own_frames(desk: Station, reading: list[Ohif]) -> None:
    """Each contour of a structure set is on the frame that carries the segment."""
    study, images, labels = _stored(desk, 195, _MIXED, EvidenceRole.STRUCTURE_SET)
    window = desk.read(study)
    reading.append(window)

    shown = window.show_structure_set(series_number(USUAL_NAMING, EvidenceRole.STRUCTURE_SET))

    drawn = {(one.number, one.sop_instance_uid) for one in shown}
    assert drawn == {
        (number, _name(image))
        for image, plane in zip(images, labels, strict=True)
        for number in (1, 2)
        if (plane == number).any()
    }
    assert window.alarms() == []
