"""What a result on late images follows: the result of the same algorithm on an earlier revision, from other images."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from storage.domain.result import EvidenceForm


@dataclass(frozen=True, slots=True)
class StoredReport:
    """A report of a stored result, as another document refers to it."""

    form: EvidenceForm
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class SentObject:
    """An object of a stored result, and the destinations that acknowledged it, by name."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EarlierResult:
    """A result that a new one may follow.

    ``inputs_sha256`` is the ``digest_of_inputs`` of the images that it looked at, ``inputs`` is how many they were;
    ``same_version`` says whether the algorithm's version was the one that is to follow, and ``sent`` which objects
    arrived somewhere.
    ``started_at`` is aware; it is the time that stands in its evidence.
    """

    result_id: int
    revision: int
    started_at: datetime
    inputs: int
    inputs_sha256: str
    reports: tuple[StoredReport, ...]
    same_version: bool
    sent: tuple[SentObject, ...] = ()

    def sent_to(self, destinations: Collection[str]) -> "EarlierResult":
        """The same with only those objects that one of these acknowledged."""
        return replace(self, sent=tuple(one for one in self.sent if {*one.destinations} & {*destinations}))


def predecessor_of(input_sop_instance_uids: Iterable[str], earlier: Sequence[EarlierResult]) -> EarlierResult | None:
    """The first of the ``earlier`` ones, which come newest first, that looked at other images.

    From the same images the same version makes the same objects under the same UIDs: where it has done so before, they
    were sent, say what they follow, and follow nothing that came after them.
    """
    inputs_sha256 = digest_of_inputs(input_sop_instance_uids)
    if any(one.inputs_sha256 == inputs_sha256 and one.same_version for one in earlier):
        return None
    return next((one for one in earlier if one.inputs_sha256 != inputs_sha256), None)


def digest_of_inputs(sop_instance_uids: Iterable[str]) -> str:
    """SHA-256 over the SOP Instance UIDs in ASCII order, one to a line, as ``earlier_results.sql`` has it."""
    return hashlib.sha256("\n".join(sorted(set(sop_instance_uids))).encode()).hexdigest()
