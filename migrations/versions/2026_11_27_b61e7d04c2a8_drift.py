"""What results are compared with, the last look at each group of them, and the alarms that came of it.

Can the previous release run beside it: yes; it neither looks nor alarms.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "b61e7d04c2a8"
down_revision = "5c81e0f4ab27"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "monitoring_baseline",
        sa.Column("algorithm_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("to_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        _time("set_at"),
        sa.CheckConstraint("from_at < to_at", name=op.f("monitoring_baseline_has_a_duration")),
        sa.PrimaryKeyConstraint("algorithm_id", name="monitoring_baseline_pkey"),
        _of_algorithm("monitoring_baseline"),
    )
    op.create_table(
        "drift",
        sa.Column("algorithm_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scanner", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("baseline_results", sa.Integer(), nullable=False),
        sa.Column("window_results", sa.Integer(), nullable=False),
        sa.Column("comparisons", postgresql.JSONB(), nullable=False),
        sa.Column("plots", postgresql.JSONB(), nullable=False),
        _time("since"),
        _time("looked_at"),
        sa.CheckConstraint("state IN ('too few', 'stable', 'watch', 'drifted')", name=op.f("drift_state_known")),
        sa.PrimaryKeyConstraint("algorithm_id", "scanner", "protocol", name="drift_pkey"),
        _of_algorithm("drift"),
    )
    op.create_table(
        "drift_alarm",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("algorithm_id", sa.BigInteger(), nullable=False),
        sa.Column("scanner", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("stability_index", sa.Float(), nullable=False),
        sa.Column("distance", sa.Float(), nullable=False),
        sa.Column("chance", sa.Float(), nullable=False),
        _time("began_at"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="drift_alarm_pkey"),
        _of_algorithm("drift_alarm"),
    )
    op.create_index(
        "drift_alarm_one_open",
        "drift_alarm",
        ["algorithm_id", "scanner", "protocol"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("drift_alarm")
    op.drop_table("drift")
    op.drop_table("monitoring_baseline")


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _of_algorithm(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["algorithm_id"], ["algorithm.id"], name=f"{table}_algorithm_id_fkey")
