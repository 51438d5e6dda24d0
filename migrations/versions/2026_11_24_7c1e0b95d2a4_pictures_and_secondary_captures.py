"""Results have pictures, and a Secondary Capture can be evidence.

Can the previous release run beside it: until the first Secondary Capture exists, yes, because pictures have a
default. Its deliveries do not know the new role, so upgrade every `overread deliver` before adding a classification.
"""

from alembic import op

revision = "7c1e0b95d2a4"
down_revision = "a41c9be07d52"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE result ADD COLUMN pictures jsonb DEFAULT '[]' NOT NULL")
    _roles("'segmentation', 'secondary-capture', 'report'")


def downgrade() -> None:
    _roles("'segmentation', 'report'")
    op.execute("ALTER TABLE result DROP COLUMN pictures")


def _roles(known: str) -> None:
    op.execute("ALTER TABLE evidence DROP CONSTRAINT evidence_role_known")
    op.execute(f"ALTER TABLE evidence ADD CONSTRAINT evidence_role_known CHECK (role IN ({known}))")
