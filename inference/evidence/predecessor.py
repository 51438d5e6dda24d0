"""How a result says which earlier result of the study it follows: as an attribute of its reports, and in words."""

from collections.abc import Sequence

from pydicom import Dataset

from inference.evidence.context import EvidenceContext
from storage.domain.earlier_result import EarlierResult, StoredReport
from storage.domain.result import EvidenceForm


def name_predecessor(report: Dataset, context: EvidenceContext, form: EvidenceForm) -> None:
    """Give a report in this form its Predecessor Documents Sequence (0040,A360), if it follows one.

    Named is the earlier report in the same form, which is what a destination was sent that is sent this one; where
    that form was not made then, all reports that were (PS3.3 section C.17.2).
    """
    if context.predecessor is None or not context.predecessor.reports:
        return
    study = Dataset()
    study.StudyInstanceUID = context.sources[0].StudyInstanceUID
    study.ReferencedSeriesSequence = [_reference(one) for one in _reports(context.predecessor, form)]
    report.PredecessorDocumentsSequence = [study]


def predecessor_words(context: EvidenceContext) -> str | None:
    """Which result it follows, by the time and the number of images that stand in that one; it names no object."""
    earlier = context.predecessor
    if earlier is None:
        return None
    moment = earlier.started_at.astimezone(context.local_started_at.tzinfo)
    images = "1 image" if earlier.inputs == 1 else f"{earlier.inputs} images"
    return f"the result of {moment:%Y-%m-%d %H:%M:%S %z}, on {images}; the study has changed since"


def _reports(earlier: EarlierResult, form: EvidenceForm) -> Sequence[StoredReport]:
    return [one for one in earlier.reports if one.form is form] or earlier.reports


def _reference(report: StoredReport) -> Dataset:
    instance, series = Dataset(), Dataset()
    instance.ReferencedSOPClassUID = report.sop_class_uid
    instance.ReferencedSOPInstanceUID = report.sop_instance_uid
    series.SeriesInstanceUID = report.series_instance_uid
    series.ReferencedSOPSequence = [instance]
    return series
