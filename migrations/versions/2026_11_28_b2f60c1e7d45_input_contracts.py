"""How many images an algorithm needs may be evidence of whether a study is complete.

Can the previous release run beside it: yes, as long as `contract` is not chosen as evidence; a version that it adds has
unknown needs.
"""

from alembic import op

revision = "b2f60c1e7d45"
down_revision = "a1d85e3c7f06"
branch_labels = None
depends_on = None

_KINDS = ("quiet", "longest-wait", "commitment", "availability", "count", "geometry")


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE algorithm
            ADD COLUMN modalities text[] DEFAULT '{}' NOT NULL,
            ADD COLUMN least_images integer DEFAULT 0 NOT NULL
        """
    )
    _kinds(*_KINDS, "contract", "said")


def downgrade() -> None:
    op.execute("UPDATE revision_evidence SET kind = 'geometry' WHERE kind = 'contract' AND decisive")
    op.execute("DELETE FROM revision_evidence WHERE kind = 'contract'")
    _kinds(*_KINDS, "said")
    op.execute("ALTER TABLE algorithm DROP COLUMN modalities, DROP COLUMN least_images")


def _kinds(*kinds: str) -> None:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.execute("ALTER TABLE revision_evidence DROP CONSTRAINT revision_evidence_kind_known")
    op.execute(f"ALTER TABLE revision_evidence ADD CONSTRAINT revision_evidence_kind_known CHECK (kind IN ({listed}))")
