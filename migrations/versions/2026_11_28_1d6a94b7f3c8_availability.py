"""Notifications of availability as evidence of whether a study is complete.

Can the previous release run beside it: yes; it writes none of them, and does not look at those that are there.
"""

from alembic import op

revision = "1d6a94b7f3c8"
down_revision = "4f7a0be2c613"
branch_labels = None
depends_on = None

_CLAIMS = "completeness_claim"
_EVIDENCE = "revision_evidence"


def upgrade() -> None:
    _allow(_CLAIMS, "'commitment', 'availability'")
    _allow(_EVIDENCE, "'quiet', 'longest-wait', 'commitment', 'availability', 'count', 'geometry', 'said'")


def downgrade() -> None:
    # A revision without a decisive row is told as one of an earlier release.
    op.execute("DELETE FROM revision_evidence WHERE kind = 'availability'")
    op.execute("DELETE FROM completeness_claim WHERE kind = 'availability'")
    _allow(_EVIDENCE, "'quiet', 'longest-wait', 'commitment', 'count', 'geometry', 'said'")
    _allow(_CLAIMS, "'commitment'")


def _allow(table: str, kinds: str) -> None:
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_kind_known")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_kind_known CHECK (kind IN ({kinds}))")
