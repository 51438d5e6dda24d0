"""Cohorts: an algorithm over many studies of the past.

Can the previous release run beside it: yes; it knows nothing of them.
"""

from alembic import op

revision = "9b4d60c7e2a1"
down_revision = "b2f60c1e7d45"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
CREATE TABLE cohort (
    id bigint GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    archive text NOT NULL,
    query text NOT NULL,
    algorithm_id bigint NOT NULL,
    deliver boolean NOT NULL,
    asked_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    listed_at timestamptz,
    canceled_at timestamptz,
    CONSTRAINT cohort_pkey PRIMARY KEY (id),
    CONSTRAINT cohort_name_key UNIQUE (name),
    CONSTRAINT cohort_algorithm_id_fkey FOREIGN KEY (algorithm_id) REFERENCES algorithm (id)
)
"""
    )
    op.execute(
        """
CREATE TABLE cohort_member (
    cohort_id bigint NOT NULL,
    study_instance_uid text NOT NULL,
    state text NOT NULL DEFAULT 'waiting',
    job_id bigint,
    reason_code text,
    reason_sentence text,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT cohort_member_pkey PRIMARY KEY (cohort_id, study_instance_uid),
    CONSTRAINT cohort_member_cohort_id_fkey FOREIGN KEY (cohort_id) REFERENCES cohort (id),
    CONSTRAINT cohort_member_job_id_fkey FOREIGN KEY (job_id) REFERENCES job (id),
    CONSTRAINT cohort_member_state_known CHECK (
        state IN ('waiting', 'fetching', 'analysing', 'analysed', 'not-analysed', 'failed', 'canceled')
    ),
    CONSTRAINT cohort_member_reason_is_whole CHECK (num_nonnulls(reason_code, reason_sentence) IN (0, 2)),
    CONSTRAINT cohort_member_no_silent_end CHECK (
        (state IN ('not-analysed', 'failed', 'canceled')) = (reason_code IS NOT NULL)
    ),
    CONSTRAINT cohort_member_has_its_job CHECK (
        state NOT IN ('analysing', 'analysed', 'not-analysed') OR job_id IS NOT NULL
    )
)
"""
    )
    op.execute("CREATE INDEX cohort_member_by_state ON cohort_member (cohort_id, state, study_instance_uid)")
    op.execute("CREATE INDEX cohort_member_of_job ON cohort_member (job_id) WHERE job_id IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP TABLE cohort_member")
    op.execute("DROP TABLE cohort")
