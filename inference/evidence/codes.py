"""Our coded concepts in highdicom's form."""

from highdicom.sr import CodedConcept as ItemCode

from storage.domain.coded_concept import CodedConcept


def item_code(concept: CodedConcept) -> ItemCode:
    """The item of a code sequence that carries the concept (PS3.3 section 8.8)."""
    return ItemCode(value=concept.value, scheme_designator=concept.scheme, meaning=concept.meaning)
