"""SOP classes whose instances are no acquired images: they are kept, but never start an analysis.

A radiologist's presentation state, or another system's segmentation, reaches a study after its images. Were it to
open a new revision, the same images would be analysed again, and two services that answer one another through a
PACS would never come to rest. The UIDs are those of PS3.6 annex A; what the table does not name counts as an image.
"""

from storage.domain.study import ExclusionRule

_STORAGE = "1.2.840.10008.5.1.4.1.1."

# Families: the SOP classes whose UID continues this one.
_FAMILIES = (
    _STORAGE + "11.",  # presentation states
    _STORAGE + "66.",  # registrations, fiducials, segmentations, tractography
    _STORAGE + "88.",  # structured reports, Key Object Selection, radiation dose reports
    _STORAGE + "104.",  # encapsulated documents and models
)

_CLASSES = frozenset(
    {
        _STORAGE + "30",  # Parametric Map
        _STORAGE + "66",  # Raw Data: what images are made from
        _STORAGE + "67",  # Real World Value Mapping
        _STORAGE + "68.1",  # Surface Scan Mesh
        _STORAGE + "68.2",  # Surface Scan Point Cloud
        _STORAGE + "77.1.5.3",  # Stereometric Relationship
        _STORAGE + "90.1",  # Content Assessment Results
        _STORAGE + "91.1",  # Microscopy Bulk Simple Annotations
        _STORAGE + "481.2",  # RT Dose
        _STORAGE + "481.3",  # RT Structure Set
        _STORAGE + "481.4",  # RT Beams Treatment Record
        _STORAGE + "481.5",  # RT Plan
        _STORAGE + "481.6",  # RT Brachy Treatment Record
        _STORAGE + "481.7",  # RT Treatment Summary Record
        _STORAGE + "481.8",  # RT Ion Plan
        _STORAGE + "481.9",  # RT Ion Beams Treatment Record
        _STORAGE + "481.11",  # RT Segment Annotation
    }
)


def exclusion_by_class(sop_class_uid: str) -> ExclusionRule | None:
    """The rule that keeps instances of this SOP class out of every analysis, or ``None`` where they count."""
    if sop_class_uid in _CLASSES or sop_class_uid.startswith(_FAMILIES):
        return ExclusionRule.DERIVED_OBJECT
    return None
