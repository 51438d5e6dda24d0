"""The worklist of other systems (UPS): workitems, and the steps that their states may take.

Can the previous release run beside it: yes; it serves no worklist and leaves the rows alone.
"""

from alembic import op

revision = "9f3c61a8d2b4"
down_revision = "3c7e51a0d9f4"
branch_labels = None
depends_on = None

_WORKITEM = """
CREATE TABLE workitem (
    id bigint GENERATED ALWAYS AS IDENTITY,
    sop_instance_uid text NOT NULL,
    state text DEFAULT 'SCHEDULED' NOT NULL,
    priority text NOT NULL,
    transaction_uid text,
    attributes jsonb NOT NULL,
    study_instance_uid text DEFAULT '' NOT NULL,
    algorithms text[] DEFAULT '{}' NOT NULL,
    algorithm_version text DEFAULT '' NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    changed_at timestamptz DEFAULT now() NOT NULL,
    claimed_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT workitem_pkey PRIMARY KEY (id),
    CONSTRAINT workitem_sop_instance_uid_key UNIQUE (sop_instance_uid),
    CONSTRAINT workitem_state_known CHECK (state IN ('SCHEDULED', 'IN PROGRESS', 'COMPLETED', 'CANCELED')),
    CONSTRAINT workitem_priority_known CHECK (priority IN ('HIGH', 'MEDIUM', 'LOW')),
    CONSTRAINT workitem_locked_once_claimed CHECK ((state = 'SCHEDULED') = (transaction_uid IS NULL)),
    CONSTRAINT workitem_claimed_at_a_time CHECK ((state = 'SCHEDULED') = (claimed_at IS NULL)),
    CONSTRAINT workitem_ended_when_final CHECK ((state IN ('CANCELED', 'COMPLETED')) = (ended_at IS NOT NULL))
)
"""

_INDEXES = (
    "CREATE INDEX workitem_ours ON workitem (state, id) WHERE ended_at IS NULL AND cardinality(algorithms) > 0",
    "CREATE INDEX workitem_ended ON workitem (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX workitem_of_study ON workitem (study_instance_uid)",
)

# PS3.4 section CC.1.1: SCHEDULED by creation only, then IN PROGRESS, then one of the final states.
_FOLLOW = """
CREATE FUNCTION workitem_follows_steps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'SCHEDULED' THEN
            RAISE check_violation USING MESSAGE = 'a new workitem is SCHEDULED', CONSTRAINT = TG_NAME;
        END IF;
    ELSIF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
        ('SCHEDULED', 'IN PROGRESS'), ('IN PROGRESS', 'COMPLETED'), ('IN PROGRESS', 'CANCELED')
    ) THEN
        RAISE check_violation
            USING MESSAGE = format('a workitem may not go from %s to %s', OLD.state, NEW.state), CONSTRAINT = TG_NAME;
    END IF;
    RETURN NEW;
END
$$
"""
_TRIGGER = """
CREATE TRIGGER workitem_follows_steps BEFORE INSERT OR UPDATE OF state ON workitem
FOR EACH ROW EXECUTE FUNCTION workitem_follows_steps()
"""


def upgrade() -> None:
    op.execute(_WORKITEM)
    for index in _INDEXES:
        op.execute(index)
    op.execute(_FOLLOW)
    op.execute(_TRIGGER)


def downgrade() -> None:
    op.execute("DROP TABLE workitem")
    op.execute("DROP FUNCTION workitem_follows_steps")
