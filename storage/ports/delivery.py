"""Deliveries: what each destination was sent."""

from typing import Protocol

from storage.domain.delivery import DeliveryStanding
from storage.domain.job import ClaimedJob
from storage.domain.result import FrozenEvidence


class DeliveryLog(Protocol):
    """Which evidence is still owed to which destination."""

    def undelivered(self, job: ClaimedJob) -> tuple[FrozenEvidence, ...]:
        """The instances of this delivery not yet acknowledged, in the order they must be sent."""
        ...

    def standing(self, job: ClaimedJob) -> DeliveryStanding:
        """What is known of this delivery before it is tried."""
        ...
