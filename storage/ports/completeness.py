"""What peers say of the studies that they send, and what archives answer when they are asked."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from storage.domain.completeness import AvailabilityNotice, CountQuestion, EvidenceKind


class CompletenessClaims(Protocol):
    """What peers named, kept until the studies that it is about have settled."""

    def note(
        self, claim_id: str, kind: EvidenceKind, calling_ae_title: str, sop_instance_uids: Collection[str]
    ) -> None:
        """Note that a peer named these instances; the same ``claim_id`` again changes nothing.

        Raises:
            DatabaseUnavailable: nothing was noted.
        """
        ...


class AvailabilityNotices(Protocol):
    """Notifications of availability, kept until the database has them."""

    def keep(self, notice: AvailabilityNotice) -> None:
        """Make a notification durable.

        Raises:
            SpoolFull: too many wait.
            SpoolWriteFailed: the disk refuses it.
        """
        ...

    def waiting(self) -> Iterator[tuple[str, AvailabilityNotice]]:
        """The notifications with their identifiers, oldest first."""
        ...

    def forget(self, notice_id: str) -> None:
        """The database has it."""
        ...


class StudyCounts(Protocol):
    """Which studies an archive is to be asked about, and what it said; every method may raise DatabaseUnavailable."""

    def claim(self, destination: str) -> Sequence[CountQuestion]:
        """Take what this archive is to be asked now; what is not settled is due again a little later."""
        ...

    def settle(self, question: CountQuestion, instances: int | None, note: str = "") -> None:
        """Write how many instances the archive has, or why it did not say."""
        ...
