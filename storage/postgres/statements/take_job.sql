-- Give a job that was found due, and is locked, to a worker, and spend an attempt on it.
UPDATE job
SET state = 'in_progress',
    attempt = job.attempt + 1,
    worker = :worker,
    started_at = coalesce(job.started_at, now()),
    lease_token = gen_random_uuid(),
    lease_expires_at = now() + make_interval(secs => :lease_seconds)
FROM job AS claimed
JOIN study ON study.id = claimed.study_id
LEFT JOIN algorithm ON algorithm.id = claimed.algorithm_id
WHERE job.id = :job_id AND claimed.id = job.id
RETURNING
    job.id AS job_id,
    job.kind,
    study.study_instance_uid,
    job.revision,
    job.lease_token::text AS lease_token,
    job.attempt,
    job.child_deaths,
    job.started_at,
    coalesce(algorithm.name, '') AS algorithm_name,
    coalesce(algorithm.version, '') AS algorithm_version,
    job.shadow,
    job.result_id,
    coalesce(job.destination, '') AS destination;
