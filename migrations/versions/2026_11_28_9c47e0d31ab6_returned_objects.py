"""Objects that come back are looked at once, for what they say of our results.

What came before the upgrade is not looked at. Can the previous release run beside it: yes; what it receives waits.
"""

from alembic import op

revision = "9c47e0d31ab6"
down_revision = "9b4d60c7e2a1"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE returned_object (
    instance_id bigint NOT NULL,
    looks integer DEFAULT 0 NOT NULL,
    claimed_at timestamptz,
    outcome text,
    looked_at timestamptz,
    CONSTRAINT returned_object_pkey PRIMARY KEY (instance_id),
    CONSTRAINT returned_object_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES instance (id),
    CONSTRAINT returned_object_outcome_known CHECK (outcome IN ('taken', 'says-nothing', 'not-ours', 'not-comparable',
        'too-large', 'unreadable', 'missing', 'given-up')),
    CONSTRAINT returned_object_looked_at_a_time CHECK ((outcome IS NULL) = (looked_at IS NULL))
)
"""

# Structured reports with Key Object Selections, and segmentations, as storage.domain.returned_object has them.
_TRIGGER = """
CREATE FUNCTION instance_may_speak() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO returned_object (instance_id) VALUES (NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER instance_may_speak AFTER INSERT ON instance
    FOR EACH ROW WHEN (
        NEW.excluded_rule IN ('own-result', 'derived-object') AND (
            starts_with(NEW.sop_class_uid, '1.2.840.10008.5.1.4.1.1.88.')
            OR starts_with(NEW.sop_class_uid, '1.2.840.10008.5.1.4.1.1.66.')
        )
    )
    EXECUTE FUNCTION instance_may_speak();
"""


def upgrade() -> None:
    op.execute(_TABLE)
    op.execute("CREATE INDEX returned_object_waiting ON returned_object (instance_id) WHERE outcome IS NULL")
    op.execute(_TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER instance_may_speak ON instance")
    op.execute("DROP FUNCTION instance_may_speak()")
    op.execute("DROP TABLE returned_object")
