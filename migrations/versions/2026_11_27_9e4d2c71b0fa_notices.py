"""A third kind of job: the notice, which makes the "Not analysed" report on an inference that ended without a result.

What a notice makes is a result of that inference, without a finding. The views about findings leave it out, and a study
that only such reports are on their way for is not one whose results are. Inferences that ended before are not told of.
Can the previous release run beside it: yes, while no notice is scheduled; stop its workers and housekeepers first.
"""

from alembic import op

revision = "9e4d2c71b0fa"
down_revision = "9d41b7e3c560"
branch_labels = None
depends_on = None

_KINDS_BEFORE = "'inference', 'delivery'"
_WORK_BEFORE = """
    (kind = 'inference' AND algorithm_id IS NOT NULL AND result_id IS NULL AND destination IS NULL{and_more})
    OR (kind = 'delivery' AND algorithm_id IS NULL AND result_id IS NOT NULL AND destination IS NOT NULL{and_more})
"""
_WORK = (
    _WORK_BEFORE.format(and_more=" AND about_id IS NULL")
    + "OR (kind = 'notice' AND algorithm_id IS NOT NULL AND result_id IS NULL AND destination IS NULL"
    " AND about_id IS NOT NULL)"
)

# As it was, with the places that differ. A resubmitted inference speaks for its notice too, and for the delivery of
# what that made; the reason of the inference comes before what becomes of its report.
_STUDY_OVERVIEW = """
CREATE OR REPLACE VIEW study_overview AS
WITH counting_job AS NOT MATERIALIZED ( -- so that each study looks up its own jobs by index
    SELECT job.id, job.kind, job.state, job.study_id, job.revision, job.outcome, job.finished_at, job.reason_code,
        job.reason_sentence{of_notice}
    FROM job
    LEFT JOIN result ON result.id = job.result_id
    WHERE NOT EXISTS (SELECT FROM job AS later WHERE later.predecessor_id IN (job.id, result.job_id{about}))
)
SELECT
    study.study_instance_uid,
    CASE
        WHEN study.parked_at IS NOT NULL THEN 'parked'
        WHEN received.only_excluded THEN 'not-analysed'
        WHEN received.unsettled > 0 OR study.revision = 0 THEN 'receiving'
        WHEN work.analysing THEN 'analysing'
        WHEN work.queued THEN 'queued'
        WHEN work.delivering THEN 'delivering'
        WHEN work.failed THEN 'failed'
        WHEN work.canceled THEN 'canceled'
        WHEN work.analysed THEN 'done'
        WHEN work.not_analysed OR study_revision.reason_code IS NOT NULL THEN 'not-analysed'
        ELSE 'failed' -- no job and no reason: no_silent_state.sql finds it too
    END AS state,
    CASE
        WHEN study.parked_at IS NOT NULL THEN study.parked_sentence
        WHEN why.state IN ('failed', 'scheduled') THEN why.reason_sentence
        WHEN received.unsettled = 0 AND work.analysed IS NOT TRUE
            THEN coalesce(why.reason_sentence, study_revision.reason_sentence, nothing.sentence)
    END AS error,
    coalesce(study.parked_code, why.reason_code, study_revision.reason_code, nothing.code) AS reason_code,
    coalesce(
        study.parked_sentence, why.reason_sentence, study_revision.reason_sentence, nothing.sentence
    ) AS reason,
    study.revision,
    received.instances,
    received.excluded,
    study.first_received_at,
    study.last_received_at,
    study_revision.stable_at,
    work.inferred_at,
    sent.delivered_at
FROM study
LEFT JOIN study_revision ON study_revision.study_id = study.id AND study_revision.revision = study.revision
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE excluded_rule IS NULL) AS instances,
        count(*) FILTER (WHERE excluded_rule IS NOT NULL) AS excluded,
        count(*) FILTER (WHERE excluded_rule IS NULL AND revision IS NULL) AS unsettled,
        study.revision = 0 AND bool_and(excluded_rule IS NOT NULL) AS only_excluded
    FROM instance
    WHERE instance.study_id = study.id
) AS received
CROSS JOIN LATERAL (
    SELECT
        bool_or(kind = 'inference' AND job.state = 'in_progress') AS analysing,
        bool_or(kind = 'inference' AND job.state = 'scheduled') AS queued,
        bool_or(kind = 'delivery'{unless_notice} AND job.state IN ('scheduled', 'in_progress')) AS delivering,
        bool_or(job.state = 'failed' AND job.revision = study.revision) AS failed,
        bool_or(job.state = 'canceled' AND job.revision = study.revision) AS canceled,
        bool_or(job.outcome = 'analysed' AND job.revision = study.revision) AS analysed,
        bool_or(job.outcome = 'not-analysed' AND job.revision = study.revision) AS not_analysed,
        max(job.finished_at) FILTER (WHERE job.outcome IS NOT NULL AND job.revision = study.revision) AS inferred_at
    FROM counting_job AS job
    WHERE job.study_id = study.id
) AS work
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN bool_and(delivery.state IN ('acknowledged', 'not-needed')) THEN max(delivery.acknowledged_at)
    END AS delivered_at
    FROM counting_job AS job
    JOIN delivery ON delivery.job_id = job.id
    WHERE job.study_id = study.id AND job.revision = study.revision
) AS sent
LEFT JOIN LATERAL (
    SELECT job.state, job.reason_code, job.reason_sentence
    FROM counting_job AS job
    WHERE job.study_id = study.id AND job.reason_code IS NOT NULL
        AND (job.state = 'scheduled' OR (job.revision = study.revision AND job.state <> 'in_progress')
        AND (job.state <> 'completed' OR job.outcome = 'not-analysed'))
    ORDER BY
        {notice_last}array_position(ARRAY['failed', 'scheduled', 'canceled', 'completed'], job.state),
        {and_again}job.id DESC
    LIMIT 1
) AS why ON true
LEFT JOIN (VALUES (
    'nothing-to-analyse',
    'All that was received of this study is set aside by a rule, as reports, presentation states and segmentations '
    'are, so there is nothing to analyse; send its images.'
)) AS nothing (code, sentence) ON received.only_excluded;
"""
_OVERVIEW_BEFORE = {"of_notice": "", "about": "", "unless_notice": "", "notice_last": "", "and_again": ""}
_OVERVIEW = {
    "of_notice": """, job.kind = 'notice' OR EXISTS (
        SELECT FROM job AS about WHERE about.id = result.job_id AND about.outcome IS DISTINCT FROM 'analysed'
    ) AS of_notice""",
    "about": ", job.about_id",
    "unless_notice": " AND NOT of_notice",
    "notice_last": "job.of_notice AND job.state <> 'failed', ",
    "and_again": "job.of_notice, ",
}

# As it was, but of analyses only.
_RESULT_ORIGIN = """
CREATE OR REPLACE VIEW result_origin AS
SELECT
    study.study_instance_uid,
    job.revision,
    result.id AS result_id,
    job.id AS job_id,
    algorithm.name AS algorithm_name,
    algorithm.version AS algorithm_version,
    result.artifact_sha256,
    algorithm.manifest_sha256,
    result.artifact_sha256 = algorithm.artifact_sha256 AS artifact_as_added,
    result.execution_provider,
    job.worker,
    job.started_at,
    result.stored_at,
    (SELECT count(*) FROM result_input WHERE result_input.result_id = result.id) AS inputs,
    (
        SELECT min(later.id)
        FROM result AS later
        JOIN job AS later_job ON later_job.id = later.job_id
        JOIN algorithm AS later_algorithm ON later_algorithm.id = later_job.algorithm_id
        WHERE later_job.study_id = job.study_id AND later_algorithm.name = algorithm.name AND later.id > result.id
            {analysed_later}
    ) AS superseded_by
FROM result
JOIN job ON job.id = result.job_id
JOIN study ON study.id = job.study_id
JOIN algorithm ON algorithm.id = job.algorithm_id
{analysed}
"""
_ORIGIN_BEFORE = {"analysed_later": "", "analysed": ""}
_ORIGIN = {"analysed_later": "AND later_job.outcome = 'analysed'", "analysed": "WHERE job.outcome = 'analysed'"}


def upgrade() -> None:
    op.execute("ALTER TABLE job ADD COLUMN about_id bigint")
    op.execute("ALTER TABLE job ADD CONSTRAINT job_about_id_fkey FOREIGN KEY (about_id) REFERENCES job (id)")
    _constraints(_KINDS_BEFORE + ", 'notice'", _WORK)
    op.execute("CREATE UNIQUE INDEX job_one_notice ON job (about_id) WHERE kind = 'notice' AND predecessor_id IS NULL")
    op.execute(_STUDY_OVERVIEW.format(**_OVERVIEW))
    op.execute(_RESULT_ORIGIN.format(**_ORIGIN))


def downgrade() -> None:
    op.execute(_STUDY_OVERVIEW.format(**_OVERVIEW_BEFORE))
    op.execute(_RESULT_ORIGIN.format(**_ORIGIN_BEFORE))
    op.execute("DROP INDEX job_one_notice")
    # What notices made goes with them: the release before knows no result of an inference that has none.
    told = (
        "SELECT result.id FROM result JOIN job ON job.id = result.job_id WHERE job.outcome IS DISTINCT FROM 'analysed'"
    )
    of_told = f"SELECT id FROM evidence WHERE result_id IN ({told})"  # noqa: S608 - the words above
    op.execute(f"DELETE FROM delivery WHERE evidence_id IN ({of_told})")  # noqa: S608
    op.execute(f"DELETE FROM job WHERE result_id IN ({told})")  # noqa: S608
    op.execute(f"DELETE FROM evidence WHERE result_id IN ({told})")  # noqa: S608
    op.execute(f"DELETE FROM result_input WHERE result_id IN ({told})")  # noqa: S608
    op.execute(f"DELETE FROM result WHERE id IN ({told})")  # noqa: S608
    op.execute("DELETE FROM job WHERE kind = 'notice'")
    _constraints(_KINDS_BEFORE, _WORK_BEFORE.format(and_more=""))
    op.execute("ALTER TABLE job DROP COLUMN about_id")


def _constraints(kinds: str, work: str) -> None:
    op.execute("ALTER TABLE job DROP CONSTRAINT job_kind_known, DROP CONSTRAINT job_names_its_work")
    op.execute(f"ALTER TABLE job ADD CONSTRAINT job_kind_known CHECK (kind IN ({kinds}))")
    op.execute(f"ALTER TABLE job ADD CONSTRAINT job_names_its_work CHECK ({work})")
