"""Views for people who ask: compliance officers, administrators, researchers (docs/reference/audit-queries.md).

Can the previous release run beside it: yes, it does not know them.
"""

from alembic import op

revision = "e27f4b906ac3"
down_revision = "c93d50a7be16"
branch_labels = None
depends_on = None

_STUDY_ACCESS = """
CREATE VIEW study_access AS
SELECT id, recorded_at, actor, action, outcome, study_instance_uid, details
FROM audit_event
WHERE action IN ('study-viewed', 'instances-retrieved', 'studies-queried', 'access-denied', 'audit-exported')
"""

# Only jobs, results and algorithms that are there: the audit rows about them outlive them.
_RESULT_ORIGIN = """
CREATE VIEW result_origin AS
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
    ) AS superseded_by
FROM result
JOIN job ON job.id = result.job_id
JOIN study ON study.id = job.study_id
JOIN algorithm ON algorithm.id = job.algorithm_id
"""

# A result that found nothing has one row without a finding. No patient identifier; the UIDs are the hospital's own.
_FINDING_OVERVIEW = """
CREATE VIEW finding_overview AS
SELECT
    result_origin.study_instance_uid,
    result_origin.revision,
    result_origin.result_id,
    result_origin.superseded_by IS NULL AS newest,
    result_origin.algorithm_name,
    result_origin.algorithm_version,
    result_origin.artifact_sha256,
    result_origin.stored_at,
    finding.number AS finding_number,
    finding.facts -> 'kind' ->> 'meaning' AS finding,
    finding.facts -> 'kind' ->> 'value' AS finding_code,
    finding.facts -> 'kind' ->> 'scheme' AS finding_scheme,
    finding.facts -> 'site' ->> 'meaning' AS site,
    finding.facts -> 'site' ->> 'value' AS site_code,
    finding.facts -> 'classification' ->> 'label' AS class,
    CAST(finding.facts -> 'classification' ->> 'probability' AS double precision) AS probability,
    CAST(finding.facts -> 'classification' ->> 'threshold' AS double precision) AS threshold,
    CAST(finding.facts -> 'classification' ->> 'present' AS boolean) AS present,
    measurement.facts -> 'name' ->> 'meaning' AS measurement,
    measurement.facts -> 'name' ->> 'value' AS measurement_code,
    measurement.facts -> 'derivation' ->> 'meaning' AS derivation,
    CAST(measurement.facts ->> 'value' AS double precision) AS value,
    measurement.facts -> 'unit' ->> 'value' AS unit
FROM result_origin
JOIN result ON result.id = result_origin.result_id
LEFT JOIN LATERAL jsonb_array_elements(result.findings) WITH ORDINALITY AS finding (facts, number) ON true
LEFT JOIN LATERAL jsonb_array_elements(finding.facts -> 'measurements') AS measurement (facts) ON true
"""

_DELIVERY_OVERVIEW = """
CREATE VIEW delivery_overview AS
SELECT
    study.study_instance_uid,
    evidence.result_id,
    delivery.destination,
    evidence.role,
    evidence.sop_instance_uid,
    evidence.sha256,
    delivery.state,
    delivery.attempts,
    '0x' || lpad(upper(to_hex(delivery.status)), 4, '0') AS status,
    delivery.note,
    delivery.acknowledged_at,
    job.id AS job_id,
    job.state AS job_state,
    job.due_at,
    job.reason_code,
    job.reason_sentence
FROM delivery
JOIN evidence ON evidence.id = delivery.evidence_id
JOIN job ON job.id = delivery.job_id
JOIN study ON study.id = job.study_id
"""

# One row per association or web request and study; one that brought nothing, such as a rejected one, has no study.
_RECEPTION_OVERVIEW = """
CREATE VIEW reception_overview AS
SELECT
    association.association_id,
    association.door,
    association.calling_ae_title,
    association.account,
    association.remote_address,
    association.started_at,
    association.ended_at,
    association.ending,
    association.refused_count,
    association.reason,
    study.study_instance_uid,
    count(instance.id) AS instances,
    count(instance.excluded_rule) AS excluded,
    coalesce(sum(instance.size), 0)::bigint AS bytes
FROM association
LEFT JOIN instance ON instance.association_id = association.association_id
LEFT JOIN study ON study.id = instance.study_id
GROUP BY association.association_id, study.id
"""

_REFUSAL_OVERVIEW = """
CREATE VIEW refusal_overview AS
SELECT
    id,
    recorded_at,
    action,
    actor,
    outcome,
    study_instance_uid,
    job_id,
    coalesce(details ->> 'code', details ->> 'reason', details ->> 'status', details ->> 'end') AS code,
    coalesce(details ->> 'sentence', details ->> 'note', details ->> 'reason') AS why,
    details
FROM audit_event
WHERE outcome <> 'success' OR details ->> 'outcome' = 'not-analysed'
"""

_ALGORITHM_HISTORY = """
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
    details ->> 'previous_artifact_sha256' AS previous_artifact_sha256
FROM audit_event
WHERE action IN ('algorithm-added', 'algorithm-promoted', 'algorithm-retired')
"""

_LOGIN_HISTORY = """
CREATE VIEW login_history AS
SELECT id, recorded_at, actor AS account, action, outcome, details ->> 'address' AS address, details
FROM audit_event
WHERE action IN ('login-succeeded', 'login-failed', 'logged-out')
"""

_STUDY_HISTORY = """
CREATE VIEW study_history AS
SELECT
    audit_event.study_instance_uid,
    audit_event.id,
    audit_event.recorded_at,
    audit_event.action,
    audit_event.actor,
    audit_event.outcome,
    audit_event.job_id,
    coalesce(
        nullif(association.calling_ae_title, ''), nullif(association.account, ''), job.destination,
        algorithm.name || ' ' || algorithm.version
    ) AS who_or_what,
    audit_event.details
FROM audit_event
LEFT JOIN job ON job.id = audit_event.job_id
LEFT JOIN algorithm ON algorithm.id = job.algorithm_id
LEFT JOIN association ON association.association_id::text = audit_event.details ->> 'association_id'
WHERE audit_event.study_instance_uid <> ''
"""

# An instance is accounted for when it is waiting, held by a worker, behind a result that is delivered or owed, parked,
# failed, canceled or not analysed with a reason, or excluded by a named rule.
_UNACCOUNTED_INSTANCE = """
CREATE VIEW unaccounted_instance AS
SELECT
    instance.id,
    instance.sop_instance_uid,
    study.study_instance_uid,
    instance.revision,
    instance.received_at
FROM instance
JOIN study ON study.id = instance.study_id
WHERE instance.excluded_rule IS NULL -- excluded by a named rule
    AND study.parked_code IS NULL -- parked with a reason
    AND instance.revision IS NOT NULL -- still receiving: the housekeeper settles it once it is quiet
    AND NOT EXISTS ( -- not analysed at all, with a reason
        SELECT FROM study_revision
        WHERE study_revision.study_id = instance.study_id
            AND study_revision.revision >= instance.revision
            AND study_revision.reason_code IS NOT NULL
    )
    AND NOT EXISTS ( -- a job on a revision that holds the instance
        SELECT FROM job
        LEFT JOIN result ON result.job_id = job.id
        WHERE job.study_id = instance.study_id
            AND job.kind = 'inference'
            AND job.revision >= instance.revision
            AND (
                job.state = 'scheduled' -- waiting
                OR (job.state = 'in_progress' AND job.lease_token IS NOT NULL) -- claimed
                OR (job.state IN ('failed', 'canceled') AND job.reason_code IS NOT NULL)
                OR (job.outcome = 'not-analysed' AND job.reason_code IS NOT NULL)
                OR (job.outcome = 'analysed' AND result.id IS NOT NULL AND NOT EXISTS (
                    -- an evidence object that is waiting although its delivery says it is done
                    SELECT FROM evidence
                    JOIN delivery ON delivery.evidence_id = evidence.id
                    JOIN job AS sending ON sending.id = delivery.job_id
                    WHERE evidence.result_id = result.id
                        AND delivery.state <> 'acknowledged'
                        AND sending.state = 'completed'
                ))
            )
    )
"""

_VIEWS = {
    "study_access": _STUDY_ACCESS,
    "result_origin": _RESULT_ORIGIN,
    "finding_overview": _FINDING_OVERVIEW,
    "delivery_overview": _DELIVERY_OVERVIEW,
    "reception_overview": _RECEPTION_OVERVIEW,
    "refusal_overview": _REFUSAL_OVERVIEW,
    "algorithm_history": _ALGORITHM_HISTORY,
    "login_history": _LOGIN_HISTORY,
    "study_history": _STUDY_HISTORY,
    "unaccounted_instance": _UNACCOUNTED_INSTANCE,
}


def upgrade() -> None:
    for view in _VIEWS.values():
        op.execute(view)


def downgrade() -> None:
    for name in reversed(_VIEWS):
        op.execute(f"DROP VIEW {name}")
