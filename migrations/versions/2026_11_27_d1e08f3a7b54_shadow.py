"""A version of an algorithm can run in shadow: on the same studies, after all other work; its results stay here.

A job says whether it is one of a shadow. The views about studies, results and findings leave it out, and no evidence
can be stored for it. The stages follow a table that a trigger holds.
Can the previous release run beside it: until a version is put in shadow, yes. It would deliver what a shadow found, so
upgrade every `overread work` and `overread housekeep` before.
"""

import re

from alembic import op
from sqlalchemy import text

revision = "d1e08f3a7b54"
down_revision = "a3f08c61d9e7"
branch_labels = None
depends_on = None

# The stages as they were at this revision; a test holds them equal to storage.domain.algorithm.STAGES.
_STAGE_TRIGGER = """
CREATE FUNCTION algorithm_follows_stages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.stage <> NEW.stage AND (OLD.stage, NEW.stage) NOT IN (
        ('registered', 'shadow'), ('registered', 'active'), ('registered', 'retired'),
        ('shadow', 'active'), ('shadow', 'retired'),
        ('active', 'shadow'), ('active', 'retired'),
        ('retired', 'shadow'), ('retired', 'active')
    ) THEN
        RAISE EXCEPTION 'algorithm % % may not go from % to %', OLD.name, OLD.version, OLD.stage, NEW.stage
            USING ERRCODE = 'check_violation', CONSTRAINT = 'algorithm_follows_stages';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER algorithm_follows_stages BEFORE UPDATE OF stage ON algorithm
    FOR EACH ROW EXECUTE FUNCTION algorithm_follows_stages();
"""

# What does not exist cannot be sent, found or fetched by anybody.
_EVIDENCE_TRIGGER = """
CREATE FUNCTION evidence_is_of_no_shadow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT job.shadow FROM result JOIN job ON job.id = result.job_id WHERE result.id = NEW.result_id) THEN
        RAISE EXCEPTION 'result % is of a shadow, so it has no evidence', NEW.result_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'evidence_is_of_no_shadow';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER evidence_is_of_no_shadow BEFORE INSERT ON evidence
    FOR EACH ROW EXECUTE FUNCTION evidence_is_of_no_shadow();
"""

_HISTORY = """
CREATE VIEW algorithm_history AS
SELECT
    id,
    recorded_at,
    actor,
    action,
    details ->> 'name' AS algorithm_name,
    details ->> 'version' AS algorithm_version,
    details ->> 'artifact_sha256' AS artifact_sha256,
    details ->> 'manifest_sha256' AS manifest_sha256,
    details ->> 'previous_version' AS previous_version,
    details ->> 'previous_artifact_sha256' AS previous_artifact_sha256{more_columns}
FROM audit_event
WHERE action IN ('algorithm-added', 'algorithm-promoted', 'algorithm-retired'{more_actions})
"""
_HISTORY_BEFORE = {"more_columns": "", "more_actions": ""}
_HISTORY_NOW = {
    "more_columns": ", outcome, details",
    "more_actions": ", 'algorithm-shadowed', 'algorithm-acceptance-run'",
}

# As it was, but of no shadows.
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
            AND later_job.outcome = 'analysed' {later_counts}
    ) AS superseded_by
FROM result
JOIN job ON job.id = result.job_id
JOIN study ON study.id = job.study_id
JOIN algorithm ON algorithm.id = job.algorithm_id
WHERE job.outcome = 'analysed' {counts}
"""
_ORIGIN_BEFORE = {"later_counts": "", "counts": ""}
_ORIGIN = {"later_counts": "AND NOT later_job.shadow", "counts": "AND NOT job.shadow"}

# In the two long views, where they look at jobs; what to look for, and what to write there.
_OVERVIEW = (r"WHERE (\(*NOT \(EXISTS \( SELECT\s+FROM job later)", r"WHERE (NOT job.shadow) AND \1")
_OVERVIEW_BACK = (r"\(NOT job\.shadow\) AND (\(+NOT \(EXISTS \( SELECT\s+FROM job later)", r"\1")
_INFERENCE = ("(job.kind = 'inference'::text)", "(job.kind = 'inference'::text) AND (NOT job.shadow)")
_DUE = "kind, {shadow}priority_rank, turn, due_at, id"
_OF_SOURCE = "source, priority, {shadow}turn"
_ONE = "study_id, revision, algorithm_id{shadow}"


def upgrade() -> None:
    op.execute("ALTER TABLE job ADD COLUMN shadow boolean DEFAULT false NOT NULL")
    op.execute(
        "ALTER TABLE job ADD CONSTRAINT job_shadows_come_last "
        "CHECK (NOT shadow OR (kind = 'inference' AND priority = 'low'))"
    )
    _indexes(_DUE.format(shadow="shadow, "), _OF_SOURCE.format(shadow="shadow, "), _ONE.format(shadow=", shadow"))
    _stages("'registered', 'shadow', 'active', 'retired'")
    op.execute(_STAGE_TRIGGER)
    op.execute(_EVIDENCE_TRIGGER)
    _edit("study_overview", *_OVERVIEW)
    _edit("unaccounted_instance", re.escape(_INFERENCE[0]), _INFERENCE[1])
    op.execute(_RESULT_ORIGIN.format(**_ORIGIN))
    op.execute("DROP VIEW algorithm_history")
    op.execute(_HISTORY.format(**_HISTORY_NOW))


def downgrade() -> None:
    op.execute("DROP VIEW algorithm_history")
    op.execute(_HISTORY.format(**_HISTORY_BEFORE))
    op.execute(_RESULT_ORIGIN.format(**_ORIGIN_BEFORE))
    _edit("study_overview", *_OVERVIEW_BACK)
    _edit("unaccounted_instance", re.escape(_INFERENCE[1]), _INFERENCE[0])
    op.execute("DROP TRIGGER evidence_is_of_no_shadow ON evidence")
    op.execute("DROP FUNCTION evidence_is_of_no_shadow()")
    op.execute("DROP TRIGGER algorithm_follows_stages ON algorithm")
    op.execute("DROP FUNCTION algorithm_follows_stages()")
    # What shadows found goes with them: the release before would take it for a result.
    shadows = "SELECT id FROM job WHERE shadow"
    results = f"SELECT id FROM result WHERE job_id IN ({shadows})"  # noqa: S608 - the words above
    for table in ("result_input", "result_statistics"):
        op.execute(f"DELETE FROM {table} WHERE result_id IN ({results})")  # noqa: S608
    op.execute(f"DELETE FROM result WHERE job_id IN ({shadows})")  # noqa: S608
    op.execute("DELETE FROM job WHERE shadow")
    op.execute("UPDATE algorithm SET stage = 'registered' WHERE stage = 'shadow'")
    _stages("'registered', 'active', 'retired'")
    _indexes(_DUE.format(shadow=""), _OF_SOURCE.format(shadow=""), _ONE.format(shadow=""))
    op.execute("ALTER TABLE job DROP COLUMN shadow")


def _indexes(due: str, of_source: str, one: str) -> None:
    op.execute("DROP INDEX job_due")
    op.execute(f"CREATE INDEX job_due ON job ({due}) WHERE state = 'scheduled'")
    op.execute("DROP INDEX job_of_source")
    op.execute(f"CREATE INDEX job_of_source ON job ({of_source}) WHERE state = 'scheduled' AND kind = 'inference'")
    op.execute("DROP INDEX job_one_inference")
    op.execute(
        f"CREATE UNIQUE INDEX job_one_inference ON job ({one}) WHERE kind = 'inference' AND predecessor_id IS NULL"
    )


def _stages(known: str) -> None:
    op.execute("ALTER TABLE algorithm DROP CONSTRAINT algorithm_stage_known")
    op.execute(f"ALTER TABLE algorithm ADD CONSTRAINT algorithm_stage_known CHECK (stage IN ({known}))")


def _edit(view: str, old: str, new: str) -> None:
    """Change one place in a long view, or stop where it is not found exactly once."""
    query = op.get_bind().scalar(text("SELECT pg_get_viewdef(CAST(:view AS regclass))"), {"view": view})
    changed, found = re.subn(old, new, str(query))
    if found != 1:
        raise RuntimeError(f"The view {view} is not the one that this release made; restore it and upgrade again.")
    op.get_bind().exec_driver_sql(f"CREATE OR REPLACE VIEW {view} AS {changed}")
