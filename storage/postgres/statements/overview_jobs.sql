-- Every job with what it is for; the reason is the latest one given.
SELECT
    job.id,
    job.kind,
    study.study_instance_uid,
    job.revision,
    job.state,
    CASE WHEN job.outcome IS DISTINCT FROM 'analysed' THEN job.reason_sentence END AS error,
    job.reason_code,
    job.reason_sentence AS reason,
    coalesce(algorithm.name || ' ' || algorithm.version, '') AS algorithm,
    coalesce(algorithm.name, '') AS algorithm_name,
    coalesce(job.destination, '') AS destination,
    job.priority,
    job.priority_because,
    job.shadow,
    job.source,
    job.shadow AND EXISTS (SELECT FROM cohort_member WHERE cohort_member.job_id = job.id) AS of_cohort,
    job.turn,
    job.attempt,
    job.worker,
    job.scheduled_at,
    job.due_at,
    job.started_at,
    job.finished_at,
    job.lease_expires_at,
    coalesce(job.lease_expires_at < now() - make_interval(secs => 10), false) AS stuck,
    job.outcome,
    job.refusals,
    job.result_id,
    job.about_id,
    job.predecessor_id
FROM job
JOIN study ON study.id = job.study_id
LEFT JOIN algorithm ON algorithm.id = job.algorithm_id
WHERE (CAST(:study_instance_uid AS text) IS NULL OR study.study_instance_uid = :study_instance_uid)
    AND (CAST(:shadow AS boolean) IS NULL OR job.shadow = :shadow)
ORDER BY job.id;
