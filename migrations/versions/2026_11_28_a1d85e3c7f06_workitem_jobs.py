"""Which jobs perform a workitem of ours.

Can the previous release run beside it: yes; it performs no workitem.
"""

from alembic import op

revision = "a1d85e3c7f06"
down_revision = "5a7e0c38d914"
branch_labels = None
depends_on = None

_WORKITEM_JOB = """
CREATE TABLE workitem_job (
    workitem_id bigint NOT NULL,
    algorithm text NOT NULL,
    job_id bigint NOT NULL,
    made boolean NOT NULL,
    CONSTRAINT workitem_job_pkey PRIMARY KEY (workitem_id, algorithm),
    CONSTRAINT workitem_job_workitem_id_fkey FOREIGN KEY (workitem_id) REFERENCES workitem (id) ON DELETE CASCADE,
    CONSTRAINT workitem_job_job_id_fkey FOREIGN KEY (job_id) REFERENCES job (id)
)
"""


def upgrade() -> None:
    op.execute(_WORKITEM_JOB)
    op.execute("CREATE INDEX workitem_job_of_job ON workitem_job (job_id)")


def downgrade() -> None:
    op.execute("DROP TABLE workitem_job")
