"""What peers say of the studies that they send."""

from collections.abc import Collection
from typing import Protocol

from storage.domain.completeness import EvidenceKind


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
