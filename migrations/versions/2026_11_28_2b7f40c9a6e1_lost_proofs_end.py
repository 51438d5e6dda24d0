"""A proof that is lost may be given up; what was lost and is sent again no more is given up at the next start.

Can the previous release run beside it: yes; it leaves what it lost as it is.
"""

from alembic import op

revision = "2b7f40c9a6e1"
down_revision = "1d6a94b7f3c8"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("INSERT INTO proof_transition (from_state, event, to_state) VALUES ('lost', 'give-up', 'unproven')")


def downgrade() -> None:
    op.execute("DELETE FROM proof_transition WHERE from_state = 'lost' AND event = 'give-up'")
