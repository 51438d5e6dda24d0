"""A code from a terminology, as DICOM's Code Sequence Macro carries it (PS3.3 section 8)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodedConcept:
    """One code: value, coding scheme designator (``SCT``, ``DCM``, ``UCUM``) and meaning in English."""

    value: str
    scheme: str
    meaning: str
