"""Who said how urgent a job is, and one more event of the lifecycle: a job that waits may get another priority.

Can the previous release run beside it: yes; its jobs say nothing of their priority.
"""

from alembic import op

revision = "1c6f2b84d9e7"
down_revision = "b7d2c93e64f1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE job ADD COLUMN priority_because text NOT NULL DEFAULT ''")
    op.execute(
        "INSERT INTO job_transition (from_state, event, to_state) VALUES ('scheduled', 'prioritise', 'scheduled')"
    )


def downgrade() -> None:
    op.execute("DELETE FROM job_transition WHERE event = 'prioritise'")
    op.execute("ALTER TABLE job DROP COLUMN priority_because")
