"""The newest rejected associations, found without reading all that were ever accepted.

Can the previous release run beside it: yes, it does not use the index.
"""

from alembic import op

revision = "3a9d5e17f0c4"
down_revision = "1f6d83c2ab90"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX association_rejected ON association (started_at) WHERE ending = 'rejected'")


def downgrade() -> None:
    op.execute("DROP INDEX association_rejected")
