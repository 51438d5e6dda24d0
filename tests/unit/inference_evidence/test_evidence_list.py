"""The evidence of a report is listed as highdicom lists it."""

from dataclasses import replace

from highdicom.sr.utils import collect_evidence
from pydicom import Dataset

from inference.evidence.evidence_list import EVIDENCE, evidence_list
from inference.evidence.explicit_vr import encoded, sequence
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole
from tests.conformance.source_series import SourceSeries, make_context, make_series
from tests.peers.multi_frame import as_frames


def _ours() -> EvidenceObject:
    return EvidenceObject(
        role=EvidenceRole.SEGMENTATION,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4",
        sop_instance_uid="1.2.3.77",
        series_instance_uid="1.2.3.7",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        pieces=(b"",),
        form=EvidenceForm.BINARY,
    )


def test_images_and_objects_stand_series_by_series_each_instance_once() -> None:
    """Frames count as their instance, images of a series stand together, and an object of ours comes behind them."""
    images = make_series(SourceSeries(shape=(6, 24, 32)))
    other = [Dataset(image) for image in images[4:]]
    for number, image in enumerate(other):
        image.SeriesInstanceUID, image.SOPInstanceUID = "1.2.3.9", f"1.2.3.9.{number}"
    sources = (*as_frames(images[:3], (0, 1, 2)), other[0], images[3], other[1])
    ours = _ours()
    named = Dataset()
    named.StudyInstanceUID, named.SeriesInstanceUID = images[0].StudyInstanceUID, ours.series_instance_uid
    named.SOPClassUID, named.SOPInstanceUID = ours.sop_class_uid, ours.sop_instance_uid

    listed = evidence_list(replace(make_context(images), sources=sources), [ours])

    content = Dataset()
    content.ContentSequence = []
    wanted, elsewhere = collect_evidence([*sources, named], content, images[0].StudyInstanceUID)
    assert len(wanted[0].ReferencedSeriesSequence) == 3
    assert not elsewhere
    assert listed == sequence(EVIDENCE, map(encoded, wanted))
