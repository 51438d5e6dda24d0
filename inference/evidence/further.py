"""What a destination may want beside the segmentation and the report, by its role.

A result that has nothing to say in a form gives no object of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from inference.evidence.context import EvidenceContext
from inference.evidence.document import build_document
from inference.evidence.key_objects import build_key_objects
from inference.evidence.measured_lines import images_with_lines
from inference.evidence.outline import largest_slice
from inference.evidence.parametric_map import Field, build_parametric_maps, probability_field, saliency_field
from inference.evidence.presentation_state import Shape, build_presentation_states, region_shapes, segment_shapes
from inference.evidence.rejection_note import build_rejection_note
from inference.evidence.secondary_capture import Capture, build_secondary_captures
from inference.evidence.segment_findings import FoundSegment, Labels
from inference.evidence.segment_picture import draw_segments
from inference.evidence.shown_image import Picture
from inference.evidence.structure_set import build_structure_set
from inference.evidence.summary import Summary, classification_summary, segmentation_summary
from inference.evidence.summary_picture import draw_summary
from inference.findings.classification import KeyImage
from inference.findings.segmentation import Probabilities
from storage.domain.result import EvidenceObject, EvidenceRole

MOST_PICTURES = 24  # of a segmentation; a series of a hundred is not looked through


@dataclass(frozen=True)
class Segmented:
    """A segmentation: its labels on the grid of the sources, what was found, and how sure the network is, if known."""

    context: EvidenceContext
    labels: Labels
    found: Sequence[FoundSegment]
    probabilities: Probabilities | None = None

    def key_indices(self) -> list[int]:
        """The slices on which the segments are largest; the middle one when nothing was found."""
        largest = {largest_slice(one.areas) for one in self.found if one.number}
        return sorted(largest) or [len(self.context.sources) // 2]

    def shapes(self) -> list[Shape]:
        """The edges of the segments, slice by slice, and their diameters."""
        return segment_shapes(self.context, self.labels, self.found)

    def fields(self) -> list[Field]:
        """The probabilities of the segments that have a voxel."""
        sure = self.probabilities
        return [] if sure is None else [probability_field(one, sure) for one in self.found if one.number]

    @cached_property
    def captures(self) -> list[Capture]:
        """A picture of each key image, and of each on which a length was measured, with the outlines on it.

        Of very many such images, some from all over them.
        """
        measured = {index for one in self.found for index in images_with_lines(self.context, one)}
        keys, algorithm = sorted({*self.key_indices(), *measured}), self.context.algorithm
        count = min(len(keys), MOST_PICTURES)
        chosen = [keys[place * len(keys) // count] for place in range(count)]
        return [
            Capture(
                f"secondary-capture-image {index}",
                draw_segments(self.context, self.labels, self.found, index),
                f"Outlines by {algorithm.name} {algorithm.version}, drawn over the image.",
                (index,),
            )
            for index in chosen
        ]

    def summary(self) -> Summary:
        """Segments and measurements on one page."""
        return segmentation_summary(self.context, self.found)


@dataclass(frozen=True, slots=True)
class Classified:
    """A classification: a key image per class, and the picture of each."""

    context: EvidenceContext
    keys: Sequence[KeyImage]
    drawn: Sequence[Picture]

    def key_indices(self) -> list[int]:
        """The images on which the classes are most probable."""
        return sorted({key.index for key in self.keys})

    def shapes(self) -> list[Shape]:
        """The salient regions of the classes that are present."""
        return region_shapes(self.keys)

    def fields(self) -> list[Field]:
        """The saliency maps of the classes that are present and have one."""
        return [saliency_field(key) for key in self.keys if key.classification.present and key.saliency is not None]

    @property
    def captures(self) -> list[Capture]:
        """The picture of each class, in their order."""
        algorithm = self.context.algorithm
        return [
            Capture(
                f"secondary-capture {key.classification.label}",
                picture,
                f"{key.classification.label} by {algorithm.name} {algorithm.version}, drawn over its key image.",
                (key.index,),
            )
            for key, picture in zip(self.keys, self.drawn, strict=True)
        ]

    def summary(self) -> Summary:
        """Classes and probabilities on one page."""
        return classification_summary(self.context, self.keys)


Analysed = Segmented | Classified


def _presentation_states(result: Analysed) -> tuple[EvidenceObject, ...]:
    return build_presentation_states(result.context, result.shapes())


def _parametric_maps(result: Analysed) -> tuple[EvidenceObject, ...]:
    return build_parametric_maps(result.context, result.fields())


def _key_objects(result: Analysed) -> tuple[EvidenceObject, ...]:
    return (build_key_objects(result.context, result.key_indices()),)


def _rejection_note(result: Analysed) -> tuple[EvidenceObject, ...]:
    return build_rejection_note(result.context)


def _structure_set(result: Analysed) -> tuple[EvidenceObject, ...]:
    if isinstance(result, Classified):
        return ()  # nothing is outlined
    return build_structure_set(result.context, result.labels, result.found)


def _secondary_captures(result: Analysed) -> tuple[EvidenceObject, ...]:
    """The pictures, then the summary: whoever pages through the series ends at the table."""
    captures, algorithm = result.captures, result.context.algorithm
    page = Capture(
        "summary-picture",
        draw_summary(result.summary(), [one.picture for one in captures]),
        f"Summary of the findings of {algorithm.name} {algorithm.version}.",
        tuple(sorted({index for one in captures for index in one.indices})),
        is_of_one_image=False,
    )
    return build_secondary_captures(result.context, [*captures, page])


def _document(result: Analysed) -> tuple[EvidenceObject, ...]:
    pictures = [one.picture for one in result.captures]
    return (build_document(result.context, result.summary(), pictures),)


_ENCODERS: dict[EvidenceRole, Callable[[Analysed], tuple[EvidenceObject, ...]]] = {
    EvidenceRole.STRUCTURE_SET: _structure_set,
    EvidenceRole.PARAMETRIC_MAP: _parametric_maps,
    EvidenceRole.SECONDARY_CAPTURE: _secondary_captures,
    EvidenceRole.PRESENTATION_STATE: _presentation_states,
    EvidenceRole.DOCUMENT: _document,
    EvidenceRole.KEY_OBJECTS: _key_objects,
    EvidenceRole.REJECTION_NOTE: _rejection_note,
}

AVAILABLE = frozenset(_ENCODERS)


def further_evidence(result: Analysed, role: EvidenceRole) -> tuple[EvidenceObject, ...]:
    """The objects of this role.

    Raises:
        KeyError: this role has no encoder here.
    """
    return _ENCODERS[role](result)
