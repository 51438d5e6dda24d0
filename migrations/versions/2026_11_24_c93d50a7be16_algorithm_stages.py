"""An algorithm may be registered before it is given work, and it is known which version was active before.

Can the previous release run beside it: yes. It reads a registered version as one it does not know, and only when it is
asked for all versions; what it adds has no `activated_at`, so `rollback` passes it over.
"""

from alembic import op

revision = "c93d50a7be16"
down_revision = "8b41c6e0d2f7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE algorithm DROP CONSTRAINT algorithm_stage_known")
    op.execute(
        "ALTER TABLE algorithm ADD CONSTRAINT algorithm_stage_known "
        "CHECK (stage IN ('registered', 'active', 'retired'))"
    )
    op.execute("ALTER TABLE algorithm ADD COLUMN activated_at timestamptz")
    # Until now every version was active from when it was added.
    op.execute("UPDATE algorithm SET activated_at = added_at")


def downgrade() -> None:
    op.execute("ALTER TABLE algorithm DROP COLUMN activated_at")
    op.execute("UPDATE algorithm SET stage = 'retired' WHERE stage = 'registered'")
    op.execute("ALTER TABLE algorithm DROP CONSTRAINT algorithm_stage_known")
    op.execute("ALTER TABLE algorithm ADD CONSTRAINT algorithm_stage_known CHECK (stage IN ('active', 'retired'))")
