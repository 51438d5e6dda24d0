"""What one value of a label array stands for."""

from dataclasses import dataclass

from storage.domain.coded_concept import CodedConcept


@dataclass(frozen=True, slots=True)
class SegmentDescription:
    """One segment of a segmentation (PS3.3 section C.8.20.2).

    ``number`` is its value in the label array, from 1. ``category`` and ``type`` are the property codes
    (CID 7150 and its kin), ``site`` the finding site, ``rgb`` the recommended colour, 0 to 255 each. ``made_by`` are
    sentences on how the voxels were chosen, such as the threshold, for parameters of the algorithm (TID 4019).
    """

    number: int
    label: str
    category: CodedConcept
    type: CodedConcept
    site: CodedConcept | None
    rgb: tuple[int, int, int]
    made_by: tuple[str, ...] = ()
