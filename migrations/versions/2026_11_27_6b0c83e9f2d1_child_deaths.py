"""A job knows how many processes it has ended.

Can the previous release run beside it: yes, its attempts end no process of their own, so they count none.
"""

from alembic import op

revision = "6b0c83e9f2d1"
down_revision = "b61e7d04c2a8"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.execute("ALTER TABLE job ADD COLUMN child_deaths integer DEFAULT 0 NOT NULL")
    op.execute(
        "ALTER TABLE job ADD CONSTRAINT job_child_deaths_are_attempts "
        "CHECK (child_deaths BETWEEN 0 AND attempt) NOT VALID"
    )
    op.execute("ALTER TABLE job VALIDATE CONSTRAINT job_child_deaths_are_attempts")


def downgrade() -> None:
    """Go back down."""
    op.execute("ALTER TABLE job DROP COLUMN child_deaths")
