"""The audit trail becomes a chain: each row carries the hash of the one before it, and none can be taken out unseen.

Rows that are there already are chained as they are found, in their order, and numbered anew without gaps. Nothing
shows whether they were changed before; a row `audit-chain-started` behind them says how many they are.

Can the previous release run beside it: yes, it only inserts, and the trigger chains its rows too. The table is locked
while old rows are chained, less than a minute for each million; what is received meanwhile waits in the spool.
"""

from alembic import op

revision = "8b41c6e0d2f7"
down_revision = "8c1e44d07a35"
branch_labels = None
depends_on = None

_COLUMNS = """
LOCK TABLE audit_event IN ACCESS EXCLUSIVE MODE;
ALTER TABLE audit_event ALTER COLUMN id DROP IDENTITY;
ALTER TABLE audit_event ADD COLUMN prev_hash bytea, ADD COLUMN row_hash bytea;
"""

# One row: how many rows there are and the hash of the last. Whoever adds a row holds it until the commit.
_HEAD = """
CREATE TABLE audit_head (
    only_one boolean DEFAULT true NOT NULL,
    rows bigint NOT NULL,
    row_hash bytea NOT NULL,
    CONSTRAINT audit_head_pkey PRIMARY KEY (only_one),
    CONSTRAINT audit_head_has_one_row CHECK (only_one)
);
INSERT INTO audit_head (rows, row_hash) VALUES (0, decode(repeat('00', 32), 'hex'));
"""

# The canonical bytes stand a second time in storage/postgres/statements/read_audit_chain.sql, which trusts no function
# of the database; docs/reference/audit-trail.md describes them.
_HASH = """
CREATE FUNCTION audit_row_hash(event audit_event) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(event.prev_hash || convert_to(jsonb_build_array(
        event.id, (extract(epoch FROM event.recorded_at) * 1000000)::bigint, event.action, event.actor, event.outcome,
        event.study_instance_uid, event.job_id, event.details
    )::text, 'UTF8'))
$$;
"""

_CHAIN_TRIGGER = """
CREATE FUNCTION audit_event_joins_chain() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    head audit_head;
BEGIN
    SELECT * INTO STRICT head FROM audit_head FOR UPDATE;
    NEW.id := head.rows + 1;
    NEW.recorded_at := clock_timestamp(); -- under the lock, so that times follow the order of rows
    NEW.prev_hash := head.row_hash;
    NEW.row_hash := audit_row_hash(NEW);
    UPDATE audit_head SET rows = NEW.id, row_hash = NEW.row_hash;
    RETURN NEW;
END
$$;
"""

# In the order of id, so that a new id is never one that a later row still has.
_CHAIN_WHAT_IS_THERE = """
ALTER TABLE audit_event DISABLE TRIGGER audit_event_is_append_only;
DO $$
DECLARE
    event audit_event;
    old_id bigint;
    head audit_head;
BEGIN
    SELECT * INTO STRICT head FROM audit_head;
    FOR event IN SELECT * FROM audit_event ORDER BY id LOOP
        old_id := event.id;
        event.id := head.rows + 1;
        event.prev_hash := head.row_hash;
        head.row_hash := audit_row_hash(event);
        head.rows := event.id;
        UPDATE audit_event SET id = event.id, prev_hash = event.prev_hash, row_hash = head.row_hash WHERE id = old_id;
    END LOOP;
    UPDATE audit_head SET rows = head.rows, row_hash = head.row_hash;
END
$$;
ALTER TABLE audit_event
    ALTER COLUMN prev_hash SET NOT NULL,
    ALTER COLUMN row_hash SET NOT NULL,
    ADD CONSTRAINT audit_event_hashes_are_sha256 CHECK (octet_length(prev_hash) = 32 AND octet_length(row_hash) = 32);
"""

# ALWAYS: session_replication_role = replica does not switch them off either.
_GUARD = """
CREATE TRIGGER audit_event_joins_chain BEFORE INSERT ON audit_event
    FOR EACH ROW EXECUTE FUNCTION audit_event_joins_chain();
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_joins_chain;
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_is_append_only;
REVOKE ALL ON audit_event, audit_head FROM PUBLIC;
INSERT INTO audit_event (action, actor, outcome, study_instance_uid, details)
    SELECT 'audit-chain-started', 'migration', 'success', '', jsonb_build_object('rows_before', rows)
    FROM audit_head WHERE rows > 0;
"""


def upgrade() -> None:
    for statements in (_COLUMNS, _HEAD, _HASH, _CHAIN_WHAT_IS_THERE, _CHAIN_TRIGGER, _GUARD):
        op.execute(statements)


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_event_joins_chain ON audit_event")
    op.execute("ALTER TABLE audit_event ENABLE TRIGGER audit_event_is_append_only")
    op.execute("DROP FUNCTION audit_event_joins_chain()")
    op.execute("DROP FUNCTION audit_row_hash(audit_event)")
    op.execute("ALTER TABLE audit_event DROP COLUMN prev_hash, DROP COLUMN row_hash")
    op.execute("ALTER TABLE audit_event ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY")
    op.execute(
        "SELECT setval(pg_get_serial_sequence('audit_event', 'id'), greatest(rows, 1), rows > 0) FROM audit_head"
    )
    op.execute("DROP TABLE audit_head")
