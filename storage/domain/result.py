"""Results: all evidence of one job, with bytes frozen before the first send."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from storage.domain.finding import Finding
from storage.domain.job import Refusal
from storage.domain.job_statistics import JobStatistics


class EvidenceRole(StrEnum):
    """What an evidence object is; the order is the order of delivery."""

    SEGMENTATION = "segmentation"
    STRUCTURE_SET = "structure-set"
    PARAMETRIC_MAP = "parametric-map"
    SECONDARY_CAPTURE = "secondary-capture"
    PRESENTATION_STATE = "presentation-state"
    REPORT = "report"  # after what it speaks of
    DOCUMENT = "document"
    KEY_OBJECTS = "key-objects"  # it may point at any of the others
    REJECTION_NOTE = "rejection-note"  # last: it takes away what the others stand in the place of


class EvidenceForm(StrEnum):
    """How an evidence object is written; forms of one role say the same thing, and a destination needs one of them."""

    BINARY = "binary"
    BINARY_UNALIGNED = "binary-unaligned"  # Rows × Columns is no multiple of 8, so frames share bytes
    BINARY_PER_SEGMENT = "binary-per-segment"  # an object for each segment, each in a series of its own
    BINARY_PER_SEGMENT_UNALIGNED = "binary-per-segment-unaligned"
    LABEL_MAP = "label-map"
    FRACTIONAL = "fractional"
    COMPREHENSIVE_3D = "comprehensive-3d"
    COMPREHENSIVE = "comprehensive"
    ENHANCED = "enhanced"
    BASIC_TEXT = "basic-text"
    STRUCTURE_SET = "structure-set"
    PARAMETRIC_MAP = "parametric-map"
    SECONDARY_CAPTURE = "secondary-capture"
    PRESENTATION_STATE = "presentation-state"
    DOCUMENT = "document"
    KEY_OBJECTS = "key-objects"
    REJECTION_NOTE = "rejection-note"


DELIVERY_ORDER: dict[EvidenceRole, int] = {role: place for place, role in enumerate(EvidenceRole)}

# Forms of one content; where a result has several, the first of these is the result, and the others stand in for it.
ALTERNATIVES: tuple[tuple[EvidenceForm, ...], ...] = (
    (
        EvidenceForm.BINARY,
        EvidenceForm.BINARY_UNALIGNED,
        EvidenceForm.BINARY_PER_SEGMENT,
        EvidenceForm.BINARY_PER_SEGMENT_UNALIGNED,
        EvidenceForm.LABEL_MAP,
        EvidenceForm.FRACTIONAL,
    ),
    (
        EvidenceForm.COMPREHENSIVE_3D,
        EvidenceForm.COMPREHENSIVE,
        EvidenceForm.ENHANCED,
        EvidenceForm.BASIC_TEXT,
        EvidenceForm.DOCUMENT,
    ),
)


# The two forms of which the matrix of the images decides: of one result there is never more than one of them.
UNALIGNED: dict[EvidenceForm, EvidenceForm] = {
    EvidenceForm.BINARY: EvidenceForm.BINARY_UNALIGNED,
    EvidenceForm.BINARY_PER_SEGMENT: EvidenceForm.BINARY_PER_SEGMENT_UNALIGNED,
}
# The same structures in one object, and each in an object of its own.
PER_SEGMENT: dict[EvidenceForm, EvidenceForm] = {
    EvidenceForm.BINARY: EvidenceForm.BINARY_PER_SEGMENT,
    EvidenceForm.BINARY_UNALIGNED: EvidenceForm.BINARY_PER_SEGMENT_UNALIGNED,
}


@dataclass(frozen=True, slots=True)
class EvidenceObject:
    """One DICOM object that carries findings.

    ``pieces`` are the complete Part 10 file that will be sent, the same each time they are asked for; a large file
    makes them as it goes, so that it need not fit into memory.
    """

    role: EvidenceRole
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    pieces: Iterable[bytes]
    form: EvidenceForm

    @property
    def part10(self) -> bytes:
        """The whole file."""
        return b"".join(self.pieces)


@dataclass(frozen=True, slots=True)
class ResultPicture:
    """One picture of a result for people, as a PNG; pictures are shown by us and never sent to a PACS."""

    title: str
    png: bytes


@dataclass(frozen=True, slots=True)
class NewResult:
    """What an inference job hands to storage when it completes, and a notice on one that came to no result.

    ``input_sop_instance_uids`` are exactly the instances the evidence claims as its source;
    ``execution_provider`` is the one that really ran, empty for a notice; ``report_text`` is the report for a terminal.
    ``statistics`` are what monitoring keeps; a notice has none, because nothing was analysed. ``predecessor_id`` is the
    stored result that this one says it follows (``storage.domain.earlier_result``). ``other_series`` says of each other
    series of the study why it was not analysed, those first that could have been.
    """

    series_instance_uid: str
    input_sop_instance_uids: tuple[str, ...]
    artifact_sha256: str
    execution_provider: str
    findings: tuple[Finding, ...]
    report_text: str
    evidence: tuple[EvidenceObject, ...]
    pictures: tuple[ResultPicture, ...] = ()
    statistics: JobStatistics | None = field(default=None, compare=False)  # times differ between two attempts
    predecessor_id: int | None = None
    other_series: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class ActiveOutline:
    """What the active version outlined where a shadow looks too.

    ``segmentation`` is the file of its BINARY Segmentation; ``None`` where it found nothing.
    """

    version: str
    segmentation: Path | None


@dataclass(frozen=True, slots=True)
class FrozenFile:
    """Bytes that are kept: by what they are found, and how many they are."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class FrozenEvidence:
    """One evidence object as stored: its identity, and the file whose bytes every send repeats."""

    role: EvidenceRole
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    path: Path  # of the frozen Part 10 file
    sha256: str  # of that whole file
    size: int
    form: EvidenceForm
    analysed: bool = True  # else it is a "Not analysed" report


def stand_ins(forms: Iterable[EvidenceForm]) -> frozenset[EvidenceForm]:
    """Those of the forms of one result that only repeat what an earlier one says."""
    present = set(forms)
    return frozenset(form for chain in ALTERNATIVES for form in [one for one in chain if one in present][1:])
