"""Evidence can be a structure set, a parametric map, a presentation state, a document or a list of key objects.

Can the previous release run beside it: until the first such object exists, yes. Its deliveries do not know the new
roles, so upgrade every `overread deliver` before a destination is given a profile that wants them.
"""

from alembic import op

revision = "5be3a0c7f914"
down_revision = "3a9d5e17f0c4"
branch_labels = None
depends_on = None

_BEFORE = "'segmentation', 'secondary-capture', 'report'"
_NOW = (
    "'segmentation', 'structure-set', 'parametric-map', 'secondary-capture', 'presentation-state', 'report', "
    "'document', 'key-objects'"
)


def upgrade() -> None:
    _roles(_NOW)


def downgrade() -> None:
    _roles(_BEFORE)


def _roles(known: str) -> None:
    op.execute("ALTER TABLE evidence DROP CONSTRAINT evidence_role_known")
    op.execute(f"ALTER TABLE evidence ADD CONSTRAINT evidence_role_known CHECK (role IN ({known}))")
