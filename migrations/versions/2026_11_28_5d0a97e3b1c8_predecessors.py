"""Which result of an earlier revision a result follows; and what supersedes a result goes by revision, then by id.

Can the previous release run beside it: yes; its results name no predecessor.
"""

from alembic import op

revision = "5d0a97e3b1c8"
down_revision = "a9c4e17d52b8"
branch_labels = None
depends_on = None

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
        SELECT {next}
        FROM result AS later
        JOIN job AS later_job ON later_job.id = later.job_id
        JOIN algorithm AS later_algorithm ON later_algorithm.id = later_job.algorithm_id
        WHERE later_job.study_id = job.study_id AND later_algorithm.name = algorithm.name
            AND later_job.outcome = 'analysed' AND NOT later_job.shadow AND {follows}
    ) AS superseded_by
FROM result
JOIN job ON job.id = result.job_id
JOIN study ON study.id = job.study_id
JOIN algorithm ON algorithm.id = job.algorithm_id
WHERE job.outcome = 'analysed' AND NOT job.shadow
"""
_BEFORE = {"next": "min(later.id)", "follows": "later.id > result.id"}
_NOW = {
    "next": "later.id",
    "follows": (
        "(later_job.revision, later.id) > (job.revision, result.id) ORDER BY later_job.revision, later.id LIMIT 1"
    ),
}


def upgrade() -> None:
    op.execute(
        "ALTER TABLE result ADD COLUMN predecessor_id bigint "
        "CONSTRAINT result_predecessor_id_fkey REFERENCES result (id)"
    )
    op.execute("CREATE INDEX result_predecessor ON result (predecessor_id) WHERE predecessor_id IS NOT NULL")
    op.execute(_RESULT_ORIGIN.format(**_NOW))


def downgrade() -> None:
    op.execute(_RESULT_ORIGIN.format(**_BEFORE))
    op.execute("DROP INDEX result_predecessor")
    op.execute("ALTER TABLE result DROP COLUMN predecessor_id")
