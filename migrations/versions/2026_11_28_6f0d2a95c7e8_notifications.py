"""What other systems than a PACS are told of results: who is told, and how far each message has come.

Can the previous release run beside it: yes; it tells nobody.
"""

from alembic import op

revision = "6f0d2a95c7e8"
down_revision = "5e1b83f0c7d4"
branch_labels = None
depends_on = None

_TABLES = (
    """
CREATE TABLE notification_receiver (
    name text NOT NULL,
    since timestamptz DEFAULT now() NOT NULL,
    looked_to bigint DEFAULT 0 NOT NULL,
    removed_at timestamptz,
    failures integer DEFAULT 0 NOT NULL,
    hold_until timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT notification_receiver_pkey PRIMARY KEY (name)
)
""",
    """
CREATE TABLE notification (
    id bigint GENERATED ALWAYS AS IDENTITY,
    receiver text NOT NULL,
    result_id bigint NOT NULL,
    message_uid uuid DEFAULT gen_random_uuid() NOT NULL,
    state text NOT NULL,
    noted_at timestamptz DEFAULT now() NOT NULL,
    owed_since timestamptz DEFAULT now() NOT NULL,
    due_at timestamptz DEFAULT now() NOT NULL,
    claim_uid uuid,
    tries integer DEFAULT 0 NOT NULL,
    body bytea,
    reason_code text,
    reason_sentence text,
    delivered_at timestamptz,
    CONSTRAINT notification_pkey PRIMARY KEY (id),
    CONSTRAINT notification_receiver_result_id_key UNIQUE (receiver, result_id),
    CONSTRAINT notification_result_id_fkey FOREIGN KEY (result_id) REFERENCES result (id),
    CONSTRAINT notification_state_known CHECK
        (state IN ('held', 'waiting', 'sending', 'delivered', 'refused', 'given-up')),
    CONSTRAINT notification_claimed_while_sending CHECK ((state = 'sending') = (claim_uid IS NOT NULL)),
    CONSTRAINT notification_delivered_at_a_time CHECK ((state = 'delivered') = (delivered_at IS NOT NULL)),
    CONSTRAINT notification_keeps_no_body CHECK (state <> 'delivered' OR body IS NULL),
    CONSTRAINT notification_reason_is_whole CHECK (num_nonnulls(reason_code, reason_sentence) IN (0, 2)),
    CONSTRAINT notification_no_silent_end CHECK (state NOT IN ('given-up', 'refused') OR reason_code IS NOT NULL)
)
""",
    """
CREATE INDEX notification_due ON notification (receiver, due_at, id) WHERE state IN ('waiting', 'sending')
""",
    "CREATE INDEX notification_held ON notification (receiver, result_id) WHERE state = 'held'",
    "CREATE INDEX notification_open ON notification (receiver, noted_at) WHERE state <> 'delivered'",
    "CREATE INDEX notification_of_result ON notification (result_id)",
)


def upgrade() -> None:
    for table in _TABLES:
        op.execute(table)


def downgrade() -> None:
    op.execute("DROP TABLE notification")
    op.execute("DROP TABLE notification_receiver")
