"""Lanes of delivery that pause while their destination does not answer.

Can the previous release run beside it: yes; it pauses none, and tries each delivery by itself.
"""

from alembic import op

revision = "b7d2c93e64f1"
down_revision = "5d0a97e3b1c8"
branch_labels = None
depends_on = None

_LANES = """
CREATE TABLE delivery_lane (
    destination text NOT NULL,
    state text DEFAULT 'flowing' NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    pauses integer DEFAULT 0 NOT NULL,
    paused_at timestamptz,
    probe_at timestamptz,
    note text DEFAULT '' NOT NULL,
    CONSTRAINT delivery_lane_pkey PRIMARY KEY (destination),
    CONSTRAINT delivery_lane_state_known CHECK (state IN ('flowing', 'paused')),
    CONSTRAINT delivery_lane_paused_at_a_time CHECK ((state = 'paused') = (paused_at IS NOT NULL)),
    CONSTRAINT delivery_lane_probed_while_paused CHECK ((state = 'paused') = (probe_at IS NOT NULL)),
    CONSTRAINT delivery_lane_no_silent_pause CHECK (state <> 'paused' OR note <> '')
)
"""


def upgrade() -> None:
    op.execute(_LANES)


def downgrade() -> None:
    op.execute("DROP TABLE delivery_lane")
