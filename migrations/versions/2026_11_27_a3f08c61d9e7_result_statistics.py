"""Results keep the statistics that monitoring compares.

Can the previous release run beside it: yes; its results have none and are not compared.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "a3f08c61d9e7"
down_revision = "c7a20e51d8f4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "result_statistics",
        sa.Column("result_id", sa.BigInteger(), nullable=False),
        sa.Column("algorithm_id", sa.BigInteger(), nullable=False),
        sa.Column("scanner", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("acquisition", postgresql.JSONB(), nullable=False),
        sa.Column("values", postgresql.JSONB(), nullable=False),
        sa.Column("scores", postgresql.JSONB(), nullable=False),
        sa.Column("stages", postgresql.JSONB(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("result_id", name="result_statistics_pkey"),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name="result_statistics_result_id_fkey"),
        sa.ForeignKeyConstraint(["algorithm_id"], ["algorithm.id"], name="result_statistics_algorithm_id_fkey"),
    )
    op.create_index(
        "result_statistics_of_algorithm", "result_statistics", ["algorithm_id", "scanner", "protocol", "result_id"]
    )


def downgrade() -> None:
    op.drop_table("result_statistics")
