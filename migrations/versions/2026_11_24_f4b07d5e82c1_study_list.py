"""The list of studies: its newest page, and the search by accession number, each by an index.

Can the previous release run beside it: yes, indexes change no row.
"""

from alembic import op

revision = "f4b07d5e82c1"
down_revision = "e27f4b906ac3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go up."""
    op.execute("CREATE INDEX study_newest ON study (last_received_at, study_instance_uid)")
    op.execute("CREATE INDEX study_accession_number ON study (accession_number)")


def downgrade() -> None:
    """Go down."""
    op.execute("DROP INDEX study_accession_number")
    op.execute("DROP INDEX study_newest")
