"""A segmentation can have an object for each of its segments.

Can the previous release run beside it: until the first such object exists, yes. Its deliveries do not know the new
forms, so upgrade every `overread deliver` before a profile wants them.
"""

from alembic import op

revision = "c7a20e51d8f4"
down_revision = "9e4d2c71b0fa"
branch_labels = None
depends_on = None

_BEFORE = (
    "'binary', 'binary-unaligned', 'label-map', 'fractional', 'comprehensive-3d', 'comprehensive', 'enhanced', "
    "'basic-text', 'structure-set', 'parametric-map', 'secondary-capture', 'presentation-state', 'document', "
    "'key-objects'"
)
_NOW = _BEFORE.replace("'label-map'", "'binary-per-segment', 'binary-per-segment-unaligned', 'label-map'")


def upgrade() -> None:
    _forms(_NOW)


def downgrade() -> None:
    _forms(_BEFORE)


def _forms(known: str) -> None:
    op.execute("ALTER TABLE evidence DROP CONSTRAINT evidence_form_known")
    op.execute(f"ALTER TABLE evidence ADD CONSTRAINT evidence_form_known CHECK (form IN ({known}))")
