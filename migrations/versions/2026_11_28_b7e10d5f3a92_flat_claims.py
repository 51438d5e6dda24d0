"""Indexes for jobs never tried and for those tried before, so that claims walk past none that wait for their time.

Can the previous release run beside it: yes; its claims read more of the table until it has gone.
"""

from alembic import op

revision = "b7e10d5f3a92"
down_revision = "8e5d13a7c92b"
branch_labels = None
depends_on = None

_LINE = "kind, shadow, priority_rank, turn, due_at, id"


def upgrade() -> None:
    """Split the line in two, and keep where the front of it is."""
    op.execute("DROP INDEX job_due")
    op.execute(f"CREATE INDEX job_due ON job ({_LINE}) WHERE state = 'scheduled' AND attempt = 0")
    op.execute(
        "CREATE INDEX job_due_again ON job (kind, shadow, priority_rank, due_at, id) "
        "WHERE state = 'scheduled' AND attempt > 0"
    )
    op.execute(
        "CREATE INDEX job_tried_in_line ON job (shadow, priority_rank, turn) "
        "WHERE state = 'scheduled' AND kind = 'inference' AND attempt > 0"
    )


def downgrade() -> None:
    """One line again."""
    op.execute("DROP INDEX job_tried_in_line")
    op.execute("DROP INDEX job_due_again")
    op.execute("DROP INDEX job_due")
    op.execute(f"CREATE INDEX job_due ON job ({_LINE}) WHERE state = 'scheduled'")
