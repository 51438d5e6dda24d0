"""The keys of a destination that say how its lane of delivery behaves."""

from pydantic import Field

from listener.scu.tls_settings import TlsKeys
from storage.domain.lane import PausePolicy


class LaneKeys(TlsKeys):
    """How a destination is spoken to, and how patiently it is tried when it does not answer."""

    pause_after_failures: int = Field(
        default=5,
        ge=0,
        description=(
            "After so many deliveries in a row without any answer, all [wait](delivery-lanes.md) until the destination "
            "answers a C-ECHO; 0: each is tried by itself."
        ),
    )
    pause_seconds: float = Field(default=15.0, gt=0, description="How long it is then left alone, at first.")
    pause_longest_seconds: float = Field(
        default=300.0, gt=0, description="Each further pause is twice as long, up to this."
    )

    def pause_policy(self) -> PausePolicy:
        """When the lane pauses, and for how long."""
        return PausePolicy(self.pause_after_failures, self.pause_seconds, self.pause_longest_seconds)
