"""A report that an object is lost counts also when it comes late, or after we gave up.

Can the previous release run beside it: yes; it goes on leaving late losses alone.
"""

from alembic import op

revision = "3c9a15d7e4b2"
down_revision = "2b7f40c9a6e1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "INSERT INTO proof_transition (from_state, event, to_state) VALUES "
        "('owed', 'lose', 'lost'), ('unproven', 'lose', 'lost'), ('unproven', 'give-up', 'unproven')"
    )


def downgrade() -> None:
    op.execute(
        "DELETE FROM proof_transition WHERE (from_state, event) IN "
        "(('owed', 'lose'), ('unproven', 'lose'), ('unproven', 'give-up'))"
    )
