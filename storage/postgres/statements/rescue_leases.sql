-- Lock the job whose lease ran out longest ago; one that its holder is settling right now is skipped.
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
WHERE job.state = 'in_progress' AND job.lease_expires_at < now()
ORDER BY job.lease_expires_at
LIMIT 1
FOR UPDATE OF job SKIP LOCKED;
