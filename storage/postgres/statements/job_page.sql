-- One page of jobs, newest first, with what may be done about each.
SELECT
    job.id,
    job.kind,
    study.study_instance_uid,
    job.revision,
    job.state,
    coalesce(job.outcome, job.state) AS shown_state,
    CASE WHEN job.outcome IS DISTINCT FROM 'analysed' THEN job.reason_sentence END AS error,
    coalesce(algorithm.name || ' ' || algorithm.version, job.destination) AS what,
    job.shadow,
    job.priority,
    job.attempt,
    job.worker,
    job.scheduled_at,
    job.due_at,
    job.finished_at,
    job.predecessor_id,
    successor.id AS successor_id,
    job.state = 'scheduled' AND NOT job.shadow AND job.priority <> 'stat' AS prioritisable,
    job.state IN ('scheduled', 'in_progress') AS cancelable,
    job.state IN ('completed', 'failed', 'canceled') AND successor.id IS NULL AND study.parked_at IS NULL
        AS resubmittable
FROM job
JOIN study ON study.id = job.study_id
LEFT JOIN algorithm ON algorithm.id = job.algorithm_id
LEFT JOIN job AS successor ON successor.predecessor_id = job.id
WHERE (CAST(:state AS text) IS NULL OR job.state = :state)
    AND (CAST(:kind AS text) IS NULL OR job.kind = :kind)
    AND (CAST(:before AS bigint) IS NULL OR job.id < :before)
    AND (CAST(:study_instance_uid AS text) IS NULL OR study.study_instance_uid = :study_instance_uid)
    AND (CAST(:shadow AS boolean) IS NULL OR job.shadow = :shadow)
ORDER BY job.id DESC
LIMIT :rows;
