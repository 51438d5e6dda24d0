"""Whether a destination still has what it acknowledged: a proof per object, and the questions that ask for it.

Can the previous release run beside it: yes; what it delivers is not asked about.
"""

from alembic import op

revision = "7e2b94d0c5a1"
down_revision = "6b0c83e9f2d1"
branch_labels = None
depends_on = None

_TABLES = (
    """
CREATE TABLE proof_transition (
    from_state text NOT NULL,
    event text NOT NULL,
    to_state text NOT NULL,
    CONSTRAINT proof_transition_pkey PRIMARY KEY (from_state, event)
)
""",
    """
CREATE TABLE delivery_proof (
    delivery_id bigint NOT NULL,
    destination text NOT NULL,
    way text NOT NULL,
    state text DEFAULT 'owed' NOT NULL,
    since timestamptz DEFAULT now() NOT NULL,
    due_at timestamptz DEFAULT now() NOT NULL,
    request_uid text,
    asked_at timestamptz,
    asks integer DEFAULT 0 NOT NULL,
    absences integer DEFAULT 0 NOT NULL,
    losses integer DEFAULT 0 NOT NULL,
    reason integer,
    note text DEFAULT '' NOT NULL,
    proven_at timestamptz,
    CONSTRAINT delivery_proof_pkey PRIMARY KEY (delivery_id),
    CONSTRAINT delivery_proof_delivery_id_fkey FOREIGN KEY (delivery_id) REFERENCES delivery (id),
    CONSTRAINT delivery_proof_state_known CHECK (state IN ('owed', 'asked', 'proven', 'lost', 'unproven')),
    CONSTRAINT delivery_proof_way_known CHECK (way IN ('query', 'commitment')),
    CONSTRAINT delivery_proof_proven_at_a_time CHECK ((state = 'proven') = (proven_at IS NOT NULL)),
    CONSTRAINT delivery_proof_asked_by_a_request CHECK (state <> 'asked' OR request_uid IS NOT NULL),
    CONSTRAINT delivery_proof_no_silent_end CHECK (state <> 'unproven' OR note <> '')
)
""",
    """
CREATE INDEX delivery_proof_due ON delivery_proof (destination, due_at, delivery_id) WHERE state IN ('owed', 'asked')
""",
    "CREATE INDEX delivery_proof_open ON delivery_proof (destination, since) WHERE state <> 'proven'",
    "CREATE INDEX delivery_proof_of_request ON delivery_proof (request_uid) WHERE state = 'asked'",
    """
CREATE TABLE commitment_question (
    transaction_uid text NOT NULL,
    destination text NOT NULL,
    ae_title text NOT NULL,
    addresses text[] NOT NULL,
    delivery_ids bigint[] NOT NULL,
    asked_at timestamptz DEFAULT now() NOT NULL,
    reported_at timestamptz,
    reports integer DEFAULT 0 NOT NULL,
    CONSTRAINT commitment_question_pkey PRIMARY KEY (transaction_uid)
)
""",
)

_TRANSITIONS = (
    ("owed", "acknowledge", "owed"),
    ("owed", "ask", "asked"),
    ("owed", "prove", "proven"),
    ("owed", "give-up", "unproven"),
    ("asked", "acknowledge", "owed"),
    ("asked", "ask", "asked"),
    ("asked", "prove", "proven"),
    ("asked", "postpone", "owed"),
    ("asked", "lose", "lost"),
    ("asked", "give-up", "unproven"),
    ("proven", "acknowledge", "owed"),
    ("lost", "acknowledge", "owed"),
    ("unproven", "acknowledge", "owed"),
    ("unproven", "prove", "proven"),
    ("unproven", "reopen", "owed"),
)

_TRIGGER = """
CREATE FUNCTION delivery_proof_follows_its_states() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'owed' THEN
            RAISE EXCEPTION 'a new proof is owed, not %', NEW.state
                USING ERRCODE = 'check_violation', CONSTRAINT = 'delivery_proof_follows_its_states';
        END IF;
    ELSIF NOT EXISTS (SELECT FROM proof_transition WHERE from_state = OLD.state AND to_state = NEW.state) THEN
        RAISE EXCEPTION 'the proof of delivery % may not go from % to %', OLD.delivery_id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'delivery_proof_follows_its_states';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER delivery_proof_follows_its_states BEFORE INSERT OR UPDATE OF state ON delivery_proof
    FOR EACH ROW EXECUTE FUNCTION delivery_proof_follows_its_states();
"""


def upgrade() -> None:
    for table in _TABLES:
        op.execute(table)
    rows = ", ".join(str(row) for row in _TRANSITIONS)
    op.execute(f"INSERT INTO proof_transition (from_state, event, to_state) VALUES {rows}")  # noqa: S608 - the list above
    op.execute(_TRIGGER)


def downgrade() -> None:
    op.execute("DROP TABLE commitment_question")
    op.execute("DROP TABLE delivery_proof")
    op.execute("DROP FUNCTION delivery_proof_follows_its_states()")
    op.execute("DROP TABLE proof_transition")
