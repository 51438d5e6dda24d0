"""References name each instance once, with the frames that are meant and no others."""

from dataclasses import replace
from io import BytesIO

import numpy as np
from pydicom import Dataset, dcmread

from inference.evidence.build import Segmented, build_evidence, further_evidence
from inference.evidence.references import instance_references, name_frames, reference, references
from inference.evidence.segment_findings import pair
from inference.evidence.sources import image_stand_in, image_stand_ins
from storage.domain.result import EvidenceForm, EvidenceRole
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    make_context,
    make_findings,
    make_labels,
    make_series,
)
from tests.peers.multi_frame import as_frames

SHAPE = (6, 24, 32)


def _numbers(item: Dataset) -> list[int] | None:
    value = item.get("ReferencedFrameNumber")
    return None if value is None else [int(one) for one in np.atleast_1d(value)]


def _two_instances_and_an_image() -> tuple[Dataset, ...]:
    """Three frames of one instance, two of another in reverse, and a single image: one stack."""
    images = make_series(SourceSeries(shape=SHAPE))
    return (*as_frames(images[:3], (0, 1, 2)), *as_frames(images[3:5], (1, 0)), images[5])


def test_one_image_is_named_by_instance_and_frame() -> None:
    """A single image has no frame number, a frame has its own."""
    *_, frame, image = _two_instances_and_an_image()

    assert _numbers(reference(image)) is None
    assert _numbers(reference(frame)) == [1]
    assert reference(frame).ReferencedSOPInstanceUID == frame.SOPInstanceUID
    assert reference(frame).ReferencedSOPClassUID == frame.SOPClassUID


def test_frames_of_one_instance_are_one_item() -> None:
    """The numbers of the frames that are meant stand in it in order; all of them are meant where none stands."""
    images = _two_instances_and_an_image()

    some = references([images[2], images[0], images[5]])

    assert [_numbers(item) for item in some] == [[1, 3], None]
    assert [_numbers(item) for item in references(images)] == [None, None, None]
    assert [_numbers(item) for item in instance_references([images[0]])] == [None]


def test_the_source_is_not_changed_when_something_stands_in_for_it() -> None:
    """Headers share elements with each other; what highdicom is given has elements of its own."""
    images = _two_instances_and_an_image()
    before = [(str(one.SOPClassUID), str(one.SOPInstanceUID)) for one in images]

    stand_ins = [made for one in images for made in (image_stand_in(one), *image_stand_ins([images[0], one])[1:])]

    assert [(str(one.SOPClassUID), str(one.SOPInstanceUID)) for one in images] == before
    assert len({one.SOPInstanceUID for one in stand_ins}) == len(images)


def test_names_are_put_wherever_something_stood_in() -> None:
    """Also below an item, and what else the item says stays; two sequences may share an item."""
    images = _two_instances_and_an_image()
    item, holder, root = Dataset(), Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2", image_stand_in(images[1]).SOPInstanceUID
    item.SpatialLocationsPreserved = "YES"
    holder.SourceImageSequence, root.DerivationImageSequence = [item], [holder]
    root.ReferencedInstanceSequence = [item]

    name_frames([root], images)

    (named,) = root.DerivationImageSequence[0].SourceImageSequence
    assert (named.ReferencedSOPInstanceUID, _numbers(named)) == (images[1].SOPInstanceUID, [2])
    assert named.SpatialLocationsPreserved == "YES"
    (listed,) = root.ReferencedInstanceSequence
    assert (listed.ReferencedSOPInstanceUID, _numbers(listed)) == (images[1].SOPInstanceUID, None)


def test_evidence_on_several_instances_names_each_of_them_once() -> None:
    """A series of two multi-frame instances and an image has three instances in every list of instances."""
    images = _two_instances_and_an_image()
    context, labels = make_context(images), make_labels(SHAPE)
    findings = make_findings(context, labels, (LIVER, NODULE))
    wanted = frozenset(EvidenceForm)

    evidence = {
        one.form: dcmread(BytesIO(one.part10))
        for one in build_evidence(context, labels, (LIVER, NODULE), findings, wanted)
    }

    instances = list(dict.fromkeys(str(image.SOPInstanceUID) for image in images))
    for form in (EvidenceForm.BINARY, EvidenceForm.LABEL_MAP):
        (series,) = evidence[form].ReferencedSeriesSequence
        listed = [str(item.ReferencedSOPInstanceUID) for item in series.ReferencedInstanceSequence]
        assert listed == instances
        assert all("ReferencedFrameNumber" not in item for item in series.ReferencedInstanceSequence)
        assert len(evidence[form].SourceImageSequence) == 3
    report = evidence[EvidenceForm.COMPREHENSIVE_3D].CurrentRequestedProcedureEvidenceSequence[0]
    assert [str(one.ReferencedSOPInstanceUID) for one in report.ReferencedSeriesSequence[0].ReferencedSOPSequence] == (
        instances
    )
    (state,) = [
        dcmread(BytesIO(one.part10))
        for one in further_evidence(
            Segmented(context, labels, pair(labels, (LIVER, NODULE), findings)), EvidenceRole.PRESENTATION_STATE
        )
    ]
    shown = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    with_labels = [index for index in range(6) if labels[index].any()]
    assert with_labels == [1, 2, 3, 4]
    assert [(str(one.ReferencedSOPInstanceUID), _numbers(one)) for one in shown] == [
        (instances[0], [2, 3]),
        (instances[1], None),
    ]


def test_a_frame_result_is_the_same_twice() -> None:
    """UIDs that stood in are not drawn at random, nor is anything else (S12)."""
    first, second = (_written(), _written())

    assert first == second


def _written() -> list[bytes]:
    images = _two_instances_and_an_image()
    context, labels = make_context(images), make_labels(SHAPE)
    context = replace(context, sources=tuple(images))
    findings = make_findings(context, labels, (LIVER, NODULE))
    wanted = frozenset(EvidenceForm)
    return [one.part10 for one in build_evidence(context, labels, (LIVER, NODULE), findings, wanted)]
