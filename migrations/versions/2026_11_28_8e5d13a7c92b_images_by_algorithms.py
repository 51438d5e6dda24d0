"""What says of itself that an algorithm made it is kept and never analysed.

Can the previous release run beside it: yes; until it is stopped it analyses pictures of other AI nodes.
"""

from alembic import op

revision = "8e5d13a7c92b"
down_revision = "1c6f2b84d9e7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _rules("'own-result', 'self-test', 'ai-result', 'derived-object'")


def downgrade() -> None:
    op.execute("UPDATE instance SET excluded_rule = 'derived-object' WHERE excluded_rule = 'ai-result'")
    _rules("'own-result', 'self-test', 'derived-object'")


def _rules(known: str) -> None:
    op.execute("ALTER TABLE instance DROP CONSTRAINT instance_excluded_rule_known")
    op.execute(f"ALTER TABLE instance ADD CONSTRAINT instance_excluded_rule_known CHECK (excluded_rule IN ({known}))")
