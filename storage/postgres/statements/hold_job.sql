-- Lock a job for the holder of its token until the transaction ends; no row comes back when the lease was taken.
SELECT
    job.id AS job_id,
    job.kind,
    job.state,
    job.priority,
    job.shadow,
    job.study_id,
    study.study_instance_uid,
    job.revision,
    job.attempt,
    coalesce(job.destination, '') AS destination,
    coalesce(job.worker, '') AS worker,
    extract(epoch FROM now() - greatest(job.scheduled_at, delivery_lane.back_at))::float8 / 3600 AS age_hours
FROM job
JOIN study ON study.id = job.study_id
LEFT JOIN delivery_lane ON delivery_lane.destination = job.destination
WHERE job.id = :job_id AND job.lease_token = CAST(:lease_token AS uuid) AND job.state = 'in_progress'
FOR UPDATE OF job;
