"""The "Not analysed" report: a Basic Text SR that says that, and why, an algorithm came to no result.

Without it a radiologist could take silence for a negative. Its root is no Measurement Report, because a measurement
group without coordinates blanks the viewport of OHIF.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from highdicom.sr import CodeContentItem, RelationshipTypeValues, UIDRefContentItem
from highdicom.sr.value_types import ContentItem
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from inference.evidence.attributes import series_description
from inference.evidence.basic_text_report import basic_text, section, text_item
from inference.evidence.context import EvidenceContext
from inference.evidence.not_analysed_reasons import NAME, OWN_SCHEME, own_scheme, sentences, told
from inference.imaging.modality import shown_modality
from storage.domain.job import Reason
from storage.domain.result import EvidenceObject

NO_STATEMENT = (
    "No statement about the presence or absence of findings is made. Read the images as if no algorithm had seen them."
)
_ALGORITHM = Code("ALGORITHM", OWN_SCHEME, "Algorithm")
_LOOKED_AT = Code("SERIES", OWN_SCHEME, "Series looked at")
_LINE = 100  # characters of a line of prose


@dataclass(frozen=True, slots=True)
class SeriesLookedAt:
    """One series of the study; ``refusal`` is why it was not analysed, where that is known of it alone."""

    series_instance_uid: str
    modality: str
    series_number: int | None
    images: int
    refusal: Reason | None

    @property
    def name(self) -> str:
        """What a reader finds it by."""
        number = "without a number" if self.series_number is None else str(self.series_number)
        images = "1 image" if self.images == 1 else f"{self.images} images"
        return f"Series {number}, {shown_modality(self.modality)}, {images}"


def build_not_analysed_report(
    context: EvidenceContext, reason: Reason, series: Sequence[SeriesLookedAt]
) -> EvidenceObject:
    """The report on ``context.sources``, which are images of the study and need not be of one series.

    Its UIDs follow from the reason's code and from ``context.identity``, so that a study that is refused again for the
    same reason has the same report.
    """
    name = f"not-analysed {reason.code}"
    sections = [
        section(codes.DCM.Conclusions, [text_item(codes.DCM.Conclusion, line) for line in _conclusions(context)]),
        section(NAME, _reason_items(reason)),
        section(_LOOKED_AT, [item for one in series for item in _series_items(one)]),
        section(_ALGORITHM, _algorithm_items(context)),
    ]
    description = series_description(context, "Not analysed", first=True)
    return basic_text(context, name, sections, description, [own_scheme()])


def not_analysed_text(context: EvidenceContext, reason: Reason, series: Sequence[SeriesLookedAt]) -> str:
    """The same for a terminal; it tells no one who the patient is."""
    algorithm = context.algorithm
    title, *rest = _conclusions(context)
    lines = [
        title,
        *rest,
        "",
        f"Study         {context.sources[0].StudyInstanceUID}",
        f"Algorithm     {algorithm.name} {algorithm.version}, {algorithm.manufacturer}",
        f"              artifact sha256:{algorithm.artifact_sha256}",
        "",
        *wrap(" ".join(sentences(reason)), _LINE),
        "",
        *(f"{one.name}: {sentences(one.refusal)[-1]}" if one.refusal else f"{one.name}." for one in series),
    ]
    return "\n".join(lines) + "\n"


def _conclusions(context: EvidenceContext) -> tuple[str, ...]:
    algorithm = context.algorithm
    return f"NOT ANALYSED by {algorithm.name} {algorithm.version}.", NO_STATEMENT, context.mark


def _reason_items(reason: Reason) -> list[ContentItem]:
    return [_coded(reason.code), *(text_item(codes.DCM.Comment, sentence) for sentence in sentences(reason))]


def _series_items(one: SeriesLookedAt) -> list[ContentItem]:
    if one.refusal is None:
        return [text_item(codes.DCM.Comment, f"{one.name}."), _series_uid(one)]
    sentence = f"{one.name}: {' '.join(sentences(one.refusal))}"
    return [text_item(codes.DCM.Comment, sentence), _coded(one.refusal.code), _series_uid(one)]


def _algorithm_items(context: EvidenceContext) -> list[ContentItem]:
    algorithm = context.algorithm
    return [
        text_item(codes.DCM.AlgorithmName, algorithm.name),
        text_item(codes.DCM.AlgorithmVersion, algorithm.version),
        text_item(codes.DCM.AlgorithmParameters, f"artifact sha256:{algorithm.artifact_sha256}"),
        text_item(codes.DCM.AlgorithmParameters, f"manifest sha256:{algorithm.manifest_sha256}"),
    ]


def _coded(code: str) -> CodeContentItem:
    return CodeContentItem(name=NAME, value=told(code).concept, relationship_type=RelationshipTypeValues.CONTAINS)


def _series_uid(one: SeriesLookedAt) -> UIDRefContentItem:
    return UIDRefContentItem(
        name=codes.DCM.SeriesInstanceUID,
        value=one.series_instance_uid,
        relationship_type=RelationshipTypeValues.CONTAINS,
    )
