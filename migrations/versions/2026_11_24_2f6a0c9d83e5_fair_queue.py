"""Inference jobs know who sent the study and have a turn, so that one sender's flood lets another's study through.

Jobs of before keep turn 0 and no source: they are claimed first, in the order in which they became due, as promised.
Can the previous release run beside it: yes. What it schedules has turn 0, and what it claims it claims by time.
"""

from alembic import op

revision = "2f6a0c9d83e5"
down_revision = "5be3a0c7f914"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.execute("ALTER TABLE job ADD COLUMN source text DEFAULT '' NOT NULL, ADD COLUMN turn bigint DEFAULT 0 NOT NULL")
    op.execute(
        "ALTER TABLE job ADD CONSTRAINT job_turns_are_of_inference "
        "CHECK (turn >= 0 AND (turn = 0 OR kind = 'inference'))"
    )
    op.execute("DROP INDEX job_due")
    op.execute("CREATE INDEX job_due ON job (kind, priority_rank, turn, due_at, id) WHERE state = 'scheduled'")
    op.execute(
        "CREATE INDEX job_of_source ON job (source, priority, turn) WHERE state = 'scheduled' AND kind = 'inference'"
    )


def downgrade() -> None:
    """Go down."""
    op.execute("DROP INDEX job_of_source")
    op.execute("DROP INDEX job_due")
    op.execute("CREATE INDEX job_due ON job (kind, priority_rank, due_at, id) WHERE state = 'scheduled'")
    op.execute("ALTER TABLE job DROP COLUMN source, DROP COLUMN turn")
