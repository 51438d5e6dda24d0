"""What a destination may want beside the segmentation and the report, by its role.

A result that has nothing to say in a form gives no object of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inference.evidence.context import EvidenceContext
from inference.evidence.key_objects import build_key_objects
from inference.evidence.outline import largest_slice
from inference.evidence.parametric_map import Field, build_parametric_maps, probability_field, saliency_field
from inference.evidence.presentation_state import Shape, build_presentation_states, region_shapes, segment_shapes
from inference.evidence.segment_findings import FoundSegment, Labels
from inference.evidence.structure_set import build_structure_set
from inference.findings.classification import KeyImage
from inference.findings.segmentation import Probabilities
from storage.domain.result import EvidenceObject, EvidenceRole


@dataclass(frozen=True, slots=True)
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
        """The edges of the segments, slice by slice."""
        return segment_shapes(self.labels, self.found)

    def fields(self) -> list[Field]:
        """The probabilities of the segments that have a voxel."""
        sure = self.probabilities
        return [] if sure is None else [probability_field(one, sure) for one in self.found if one.number]


@dataclass(frozen=True, slots=True)
class Classified:
    """A classification: a key image per class."""

    context: EvidenceContext
    keys: Sequence[KeyImage]

    def key_indices(self) -> list[int]:
        """The images on which the classes are most probable."""
        return sorted({key.index for key in self.keys})

    def shapes(self) -> list[Shape]:
        """The salient regions of the classes that are present."""
        return region_shapes(self.keys)

    def fields(self) -> list[Field]:
        """The saliency maps of the classes that are present and have one."""
        return [saliency_field(key) for key in self.keys if key.classification.present and key.saliency is not None]


Analysed = Segmented | Classified


def _presentation_states(result: Analysed) -> tuple[EvidenceObject, ...]:
    return build_presentation_states(result.context, result.shapes())


def _parametric_maps(result: Analysed) -> tuple[EvidenceObject, ...]:
    return build_parametric_maps(result.context, result.fields())


def _key_objects(result: Analysed) -> tuple[EvidenceObject, ...]:
    return (build_key_objects(result.context, result.key_indices()),)


def _structure_set(result: Analysed) -> tuple[EvidenceObject, ...]:
    if isinstance(result, Classified):
        return ()  # nothing is outlined
    return build_structure_set(result.context, result.labels, result.found)


_ENCODERS: dict[EvidenceRole, Callable[[Analysed], tuple[EvidenceObject, ...]]] = {
    EvidenceRole.STRUCTURE_SET: _structure_set,
    EvidenceRole.PARAMETRIC_MAP: _parametric_maps,
    EvidenceRole.PRESENTATION_STATE: _presentation_states,
    EvidenceRole.KEY_OBJECTS: _key_objects,
}

AVAILABLE = frozenset(_ENCODERS)


def further_evidence(result: Analysed, role: EvidenceRole) -> tuple[EvidenceObject, ...]:
    """The objects of this role.

    Raises:
        KeyError: this role has no encoder here.
    """
    return _ENCODERS[role](result)
