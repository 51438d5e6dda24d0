"""What people and their systems say of our results.

Can the previous release run beside it: yes, it does not know the table.
"""

from alembic import op

revision = "6a3f9c21e8b5"
down_revision = "6f0d2a95c7e8"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE feedback (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    result_id bigint NOT NULL,
    tracking_uid text NOT NULL,
    verdict text NOT NULL,
    source text NOT NULL,
    sop_instance_uid text NOT NULL,
    actor text NOT NULL,
    recorded_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT feedback_pkey PRIMARY KEY (id),
    CONSTRAINT feedback_result_id_fkey FOREIGN KEY (result_id) REFERENCES result (id),
    CONSTRAINT feedback_verdict_known CHECK (verdict IN ('accept', 'reject', 'changed')),
    CONSTRAINT feedback_source_known CHECK (source IN ('dashboard', 'api', 'sr', 'kos', 'seg')),
    CONSTRAINT feedback_objects_are_named CHECK ((source IN ('api', 'dashboard')) = (sop_instance_uid = ''))
)
"""


def upgrade() -> None:
    op.execute(_TABLE)
    op.execute("CREATE INDEX feedback_of_finding ON feedback (result_id, tracking_uid, id)")


def downgrade() -> None:
    op.execute("DROP TABLE feedback")
