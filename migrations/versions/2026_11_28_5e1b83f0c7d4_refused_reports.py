"""Reports of storage commitment that were not believed are counted; what was set aside is found by its UID.

An index that no statement uses goes.

Can the previous release run beside it: yes; it writes a row of the audit trail for each.
"""

from alembic import op

revision = "5e1b83f0c7d4"
down_revision = "3c9a15d7e4b2"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE refused_report (
    remote_address text NOT NULL,
    why text NOT NULL,
    calling_ae_title text NOT NULL,
    destination text NOT NULL,
    objects integer NOT NULL,
    untold integer DEFAULT 0 NOT NULL,
    told integer DEFAULT 1 NOT NULL,
    told_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT refused_report_pkey PRIMARY KEY (remote_address, why),
    CONSTRAINT refused_report_why_known CHECK (why IN ('unknown-transaction', 'not-the-destination'))
)
"""


def upgrade() -> None:
    op.execute(_TABLE)
    op.execute("DROP INDEX delivery_proof_of_request")
    op.execute("CREATE INDEX quarantined_object_sop_instance_uid ON quarantined_object (sop_instance_uid)")


def downgrade() -> None:
    op.execute("DROP INDEX quarantined_object_sop_instance_uid")
    op.execute("CREATE INDEX delivery_proof_of_request ON delivery_proof (request_uid) WHERE state = 'asked'")
    op.execute("DROP TABLE refused_report")
