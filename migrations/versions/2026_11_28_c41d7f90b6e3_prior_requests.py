"""Priors that routes ask for.

Can the previous release run beside it: yes; it asks for none.
"""

from alembic import op

revision = "c41d7f90b6e3"
down_revision = "b5c20f9d4e81"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
CREATE TABLE prior_request (
    id bigint GENERATED ALWAYS AS IDENTITY,
    study_id bigint NOT NULL,
    archive text NOT NULL,
    modality text NOT NULL,
    body_part text NOT NULL,
    most integer NOT NULL,
    within_days integer NOT NULL,
    state text NOT NULL DEFAULT 'waiting',
    attempt integer NOT NULL DEFAULT 0,
    asked_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    note text NOT NULL DEFAULT '',
    CONSTRAINT prior_request_pkey PRIMARY KEY (id),
    CONSTRAINT prior_request_study_id_fkey FOREIGN KEY (study_id) REFERENCES study (id),
    CONSTRAINT prior_request_study_id_archive_modality_body_part_key UNIQUE (study_id, archive, modality, body_part),
    CONSTRAINT prior_request_state_known CHECK (state IN ('waiting', 'done', 'given-up')),
    CONSTRAINT prior_request_numbers_count_up CHECK (attempt >= 0 AND most > 0 AND within_days > 0),
    CONSTRAINT prior_request_ended_when_not_waiting CHECK ((state = 'waiting') = (ended_at IS NULL)),
    CONSTRAINT prior_request_no_silent_end CHECK (state = 'waiting' OR note <> '')
)
"""
    )
    op.execute("CREATE INDEX prior_request_due ON prior_request (archive, due_at) WHERE state = 'waiting'")


def downgrade() -> None:
    op.execute("DROP TABLE prior_request")
