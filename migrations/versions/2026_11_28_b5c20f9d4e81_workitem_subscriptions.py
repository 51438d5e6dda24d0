"""Who is told of which workitems, and what still has to be told.

Can the previous release run beside it: yes; it tells nobody.
"""

from alembic import op

revision = "b5c20f9d4e81"
down_revision = "9c47e0d31ab6"
branch_labels = None
depends_on = None

_TABLES = (
    """
CREATE TABLE workitem_subscriber (
    ae_title text NOT NULL,
    account text NOT NULL,
    worklist text,
    keys jsonb DEFAULT '{}' NOT NULL,
    deletion_lock boolean DEFAULT false NOT NULL,
    seen_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT workitem_subscriber_pkey PRIMARY KEY (ae_title),
    CONSTRAINT workitem_subscriber_worklist_known CHECK (worklist IN ('global', 'filtered'))
)
""",
    """
CREATE TABLE workitem_subscription (
    workitem_id bigint NOT NULL,
    ae_title text NOT NULL,
    deletion_lock boolean NOT NULL,
    CONSTRAINT workitem_subscription_pkey PRIMARY KEY (workitem_id, ae_title),
    CONSTRAINT workitem_subscription_workitem_id_fkey FOREIGN KEY (workitem_id)
        REFERENCES workitem (id) ON DELETE CASCADE,
    CONSTRAINT workitem_subscription_ae_title_fkey FOREIGN KEY (ae_title)
        REFERENCES workitem_subscriber (ae_title) ON DELETE CASCADE
)
""",
    """
CREATE TABLE workitem_event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    ae_title text NOT NULL,
    sop_instance_uid text NOT NULL,
    event_type smallint NOT NULL,
    information jsonb NOT NULL,
    happened_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT workitem_event_pkey PRIMARY KEY (id),
    CONSTRAINT workitem_event_event_type_known CHECK (event_type IN (1, 2, 3, 5)),
    CONSTRAINT workitem_event_ae_title_fkey FOREIGN KEY (ae_title)
        REFERENCES workitem_subscriber (ae_title) ON DELETE CASCADE
)
""",
)


def upgrade() -> None:
    for table in _TABLES:
        op.execute(table)
    op.execute("CREATE INDEX workitem_subscription_of_subscriber ON workitem_subscription (ae_title)")
    op.execute("CREATE INDEX workitem_event_of_subscriber ON workitem_event (ae_title, id)")
    op.execute("CREATE INDEX workitem_event_oldest ON workitem_event (happened_at)")


def downgrade() -> None:
    for table in ("workitem_event", "workitem_subscription", "workitem_subscriber"):
        op.execute(f"DROP TABLE {table}")
