"""Studies that were fetched from archives, what for and by whom.

Can the previous release run beside it: yes, but its housekeeper analyses what was fetched as a prior.
"""

from alembic import op

revision = "3c7e51a0d9f4"
down_revision = "6a3f9c21e8b5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
CREATE TABLE study_fetch (
    id bigint GENERATED ALWAYS AS IDENTITY,
    study_instance_uid text NOT NULL,
    archive text NOT NULL,
    retrieve text NOT NULL,
    purpose text NOT NULL,
    asked_by text NOT NULL,
    sop_instance_uids text[] NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome text,
    listed bigint,
    held bigint,
    new bigint,
    reason_code text,
    reason_sentence text,
    CONSTRAINT study_fetch_pkey PRIMARY KEY (id),
    CONSTRAINT study_fetch_purpose_known CHECK (purpose IN ('context', 'analysis')),
    CONSTRAINT study_fetch_outcome_known CHECK (outcome IN ('complete', 'incomplete', 'failed')),
    CONSTRAINT study_fetch_ended_with_an_outcome CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT study_fetch_counted_whole CHECK (num_nonnulls(listed, held, new) IN (0, 3)),
    CONSTRAINT study_fetch_reason_is_whole CHECK (num_nonnulls(reason_code, reason_sentence) IN (0, 2)),
    CONSTRAINT study_fetch_no_silent_end CHECK (
        outcome = 'complete' OR outcome IS NULL OR reason_code IS NOT NULL
    )
)
"""
    )
    op.execute("CREATE INDEX study_fetch_of_study ON study_fetch (study_instance_uid)")


def downgrade() -> None:
    op.execute("DROP TABLE study_fetch")
