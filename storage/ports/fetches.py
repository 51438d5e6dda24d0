"""Fetches of studies from archives, and what they asked for."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from storage.domain.fetch import FetchEnd, FetchPurpose


@dataclass(frozen=True, slots=True)
class NewFetch:
    """A fetch that is about to begin; ``sop_instance_uids`` are those that are asked for, because they lack here."""

    study_instance_uid: str
    archive: str
    retrieve: str
    purpose: FetchPurpose
    actor: str
    sop_instance_uids: Collection[str]


class Fetches(Protocol):
    """The record of what was asked of archives; each call raises DatabaseUnavailable when it cannot be written."""

    def note_query(self, archive: str, actor: str, matches: int, study_instance_uid: str = "") -> None:
        """An archive was asked what it has; so many studies matched."""
        ...

    def begin(self, fetch: NewFetch) -> int:
        """Write a fetch down before anything comes, and return its identifier."""
        ...

    def widen(self, fetch_id: int, sop_instance_uid: str) -> None:
        """Write down an instance that comes with the others, though the archive did not list it, before it is kept."""
        ...

    def end(self, fetch_id: int, end: FetchEnd) -> None:
        """Write down what came of it."""
        ...
