"""The keys of a destination that say how its lane of delivery behaves."""

from pydantic import Field

from listener.scu.tls_settings import TlsKeys
from storage.domain.lane import PausePolicy


class LaneKeys(TlsKeys):
    """How a destination is spoken to, and how patiently it is tried when it does not answer."""

    associations: int = Field(
        default=1,
        ge=1,
        le=16,
        description="How many results are [sent at a time](delivery-lanes.md#how-fast), each over an association.",
    )
    results_per_association: int = Field(
        default=20,
        ge=1,
        description="Results that wait share an association, up to so many; 1: each has one of its own.",
    )
    association_seconds: float = Field(
        default=60.0, ge=0, description="An association older than this is given no further result."
    )
    most_objects_per_second: float = Field(
        default=0.0, ge=0, description="No more objects than this are sent, over all associations; 0: no limit."
    )
    most_mib_per_second: float = Field(
        default=0.0, ge=0, description="No more MiB than this are sent, over all associations; 0: no limit."
    )
    connect_seconds: float = Field(default=10.0, gt=0, description="How long a connection, TLS included, may take.")
    answer_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long an object's answer may take, beyond a second for each 50 kB of the object.",
    )
    longest_transfer_seconds: float = Field(
        default=1800.0, gt=0, description="How long one result may take to send; what is left is tried again."
    )
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
