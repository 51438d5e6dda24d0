-- Take the most urgent due delivery to one destination, and spend an attempt on it; rows that another claimant holds are
-- skipped. What waits for other destinations is not even looked at.
WITH due AS MATERIALIZED (
    SELECT id
    FROM job
    WHERE state = 'scheduled' AND kind = 'delivery' AND destination = :destination AND due_at <= now()
    ORDER BY priority_rank, turn, due_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE job
SET state = 'in_progress',
    attempt = job.attempt + 1,
    worker = :worker,
    started_at = coalesce(job.started_at, now()),
    lease_token = gen_random_uuid(),
    lease_expires_at = now() + make_interval(secs => :lease_seconds)
FROM due
JOIN job AS claimed USING (id)
JOIN study ON study.id = claimed.study_id
LEFT JOIN algorithm ON algorithm.id = claimed.algorithm_id
WHERE job.id = due.id
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
