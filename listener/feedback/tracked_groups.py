"""The measurement groups of a structured report by their Tracking UID (PS3.16 TID 1411, 1501), and what each says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom import Dataset

_TRACKING_UID = ("112040", "DCM")
# An editor that leaves out by which algorithm a group was made has changed no finding (PS3.16 TID 4019).
_OF_THE_ALGORITHM = ("111000", "DCM")
_MOST_ITEMS = 20_000
_DEEPEST = 50  # a report of ours has six levels; each one is copied when the one above it is read
_RELATIVE = 1e-4  # of a number that was written as text and read again
_PIXELS = 0.01  # of a coordinate, in pixels or mm

Code = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Statement:
    """One content item of a group: its concept, the codes of its value, unit and modifiers, and its numbers."""

    concept: Code
    codes: tuple[Code, ...]
    numbers: tuple[float, ...] = ()
    tolerance: float = 0.0

    def same_as(self, other: "Statement") -> bool:
        """Whether both say the same, but for the rounding of numbers."""
        if (self.concept, self.codes, len(self.numbers)) != (other.concept, other.codes, len(other.numbers)):
            return False
        return all(
            abs(one - two) <= max(self.tolerance, _RELATIVE * abs(one))
            for one, two in zip(self.numbers, other.numbers, strict=True)
        )


def root_concept(report: Dataset) -> Code:
    """What the document is: the concept of its root."""
    return _code(report.get("ConceptNameCodeSequence"))


def tracked_groups(report: Dataset) -> dict[str, list[Statement]]:
    """By Tracking UID what its group says. Raises ValueError where they are too many or too deep."""
    groups: dict[str, list[Statement]] = {}
    for item in _items(report):
        children = item.get("ContentSequence") or ()
        uids = [str(child.UID) for child in children if _concept(child) == _TRACKING_UID and "UID" in child]
        if uids and item.get("ValueType") == "CONTAINER":
            groups.setdefault(uids[0], []).extend(_statements(children))
    return groups


def says_the_same(ours: Sequence[Statement], theirs: Sequence[Statement]) -> bool:
    """Whether everything that we say is still said; what somebody adds changes nothing of ours."""
    left = list(theirs)
    for statement in ours:
        found = next((one for one in left if statement.same_as(one)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _items(report: Dataset) -> Iterator[Dataset]:
    """Every content item, without recursion."""
    waiting, seen = [(report, 0)], 0
    while waiting:
        item, depth = waiting.pop()
        seen += 1
        if seen > _MOST_ITEMS or depth > _DEEPEST:
            raise ValueError("more content items, or deeper ones, than are read")
        yield item
        waiting.extend((child, depth + 1) for child in item.get("ContentSequence") or ())


def _statements(children: Sequence[Dataset]) -> Iterator[Statement]:
    for child in children:
        concept, kind = _concept(child), child.get("ValueType")
        if kind == "CODE" and concept != _OF_THE_ALGORITHM:
            yield Statement(concept, (_code(child.get("ConceptCodeSequence")),))
        elif kind == "NUM":
            yield _number(child, concept)
        elif kind in ("SCOORD", "SCOORD3D"):
            points = tuple(float(value) for value in child.get("GraphicData") or ())
            yield Statement(concept, ((str(child.get("GraphicType")), ""),), points, _PIXELS)


def _number(child: Dataset, concept: Code) -> Statement:
    modifiers = [
        _code(one.get("ConceptCodeSequence"))
        for one in child.get("ContentSequence") or ()
        if one.get("ValueType") == "CODE" and one.get("RelationshipType") == "HAS CONCEPT MOD"
    ]
    values = child.get("MeasuredValueSequence") or ()
    units = [_code(value.get("MeasurementUnitsCodeSequence")) for value in values]
    return Statement(concept, (*units, *sorted(modifiers)), tuple(float(value.NumericValue) for value in values))


def _concept(item: Dataset) -> Code:
    return _code(item.get("ConceptNameCodeSequence"))


def _code(sequence: Sequence[Dataset] | None) -> Code:
    if not sequence:
        return "", ""
    return str(sequence[0].get("CodeValue", "")), str(sequence[0].get("CodingSchemeDesignator", ""))
