"""Storage commitment: requests that wait, and what is held."""

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from storage.domain.commitment import CommitmentReport, CommitmentRequest, HeldInstance, ReceivedReport


class CommitmentRequests(Protocol):
    """Requests for storage commitment, kept until their report has arrived."""

    def keep(self, request: CommitmentRequest) -> str:
        """Make a request durable and return its identifier.

        Raises:
            SpoolFull: too many wait.
            SpoolWriteFailed: the disk refuses it.
        """
        ...

    def undecided(self) -> Iterator[tuple[str, CommitmentRequest]]:
        """The requests whose answer is not known yet, oldest first."""
        ...

    def settle(self, request_id: str, failures: dict[str, int]) -> None:
        """The answer is known. Raises OSError."""
        ...

    def settled(self) -> Iterable[str]:
        """Identifiers of the reports that nobody has taken."""
        ...

    def take(self, request_id: str) -> CommitmentReport | None:
        """Deliver a report, and nobody else may; ``None`` when it is not known or somebody does already."""
        ...

    def give_back(self, request_id: str) -> None:
        """It could not be delivered."""
        ...

    def forget(self, request_id: str) -> None:
        """It was delivered, or is given up."""
        ...


class CommitmentReports(Protocol):
    """Reports on requests of ours, kept until the database has them."""

    def keep(self, report: ReceivedReport) -> None:
        """Make a report durable.

        Raises:
            SpoolFull: too many wait, of this peer or of all.
            SpoolWriteFailed: the disk refuses it.
        """
        ...

    def waiting(self) -> Iterator[tuple[str, ReceivedReport]]:
        """The reports with their identifiers, oldest first."""
        ...

    def forget(self, report_id: str) -> None:
        """The database has it."""
        ...


class HeldInstances(Protocol):
    """What is known of single instances."""

    def of(self, sop_instance_uids: Collection[str]) -> dict[str, HeldInstance]:
        """The instances of these UIDs that have a row, by UID. Raises DatabaseUnavailable."""
        ...
