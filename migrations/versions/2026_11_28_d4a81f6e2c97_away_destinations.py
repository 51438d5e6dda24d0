"""When a destination that was away came back: from then on what waits for it has its whole time again.

Can the previous release run beside it: yes; it gives up what waits by the time since it was scheduled.
"""

from alembic import op

revision = "d4a81f6e2c97"
down_revision = "b7e10d5f3a92"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE delivery_lane ADD COLUMN silences integer DEFAULT 0 NOT NULL, ADD COLUMN back_at timestamptz"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE delivery_lane DROP COLUMN silences, DROP COLUMN back_at")
