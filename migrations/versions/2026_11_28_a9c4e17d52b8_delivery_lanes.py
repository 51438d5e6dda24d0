"""An index by destination: each lane of delivery reads its own part of the line.

Can the previous release run beside it: yes; it claims from one line as before.
"""

from alembic import op

revision = "a9c4e17d52b8"
down_revision = "e83b05c6f14d"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index that claims of one destination walk in order."""
    op.execute(
        "CREATE INDEX job_due_at_destination ON job (destination, priority_rank, turn, due_at, id) "
        "WHERE state = 'scheduled' AND kind = 'delivery'"
    )


def downgrade() -> None:
    """Remove it; deliveries are claimed from one line again."""
    op.execute("DROP INDEX job_due_at_destination")
