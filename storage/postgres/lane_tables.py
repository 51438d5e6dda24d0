"""The table of lanes of delivery."""

from datetime import datetime

from sqlalchemy import CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.lane import LaneState
from storage.postgres.table_base import Base, one_of


class DeliveryLaneRow(Base):
    """A destination at which a delivery failed since the last one that it answered; of others there may be no row.

    ``pauses`` counts those since the last answer and makes the next one longer. ``note`` is the sentence of the latest
    failure.
    """

    __tablename__ = "delivery_lane"
    __table_args__ = (
        one_of("state", LaneState),
        CheckConstraint("(state = 'paused') = (paused_at IS NOT NULL)", name="paused_at_a_time"),
        CheckConstraint("(state = 'paused') = (probe_at IS NOT NULL)", name="probed_while_paused"),
        CheckConstraint("state <> 'paused' OR note <> ''", name="no_silent_pause"),
    )

    destination: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(server_default=text("'flowing'"))
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    pauses: Mapped[int] = mapped_column(server_default=text("0"))
    paused_at: Mapped[datetime | None]
    probe_at: Mapped[datetime | None]
    note: Mapped[str] = mapped_column(server_default=text("''"))
    silences: Mapped[int] = mapped_column(server_default=text("0"))  # in this pause it was tried so often in vain
    back_at: Mapped[datetime | None]  # its last start, or the end of the last pause in which it was
