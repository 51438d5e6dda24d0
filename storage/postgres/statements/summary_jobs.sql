-- Jobs by kind and state, shadows apart, because they may wait for ever; those that have ended count for the last days only. The age is that of the longest wait.
-- A job keeps the latest reason that was given when it is claimed again and when it is analysed, so that a silent worker counts only until the job has ended.
SELECT
    CASE WHEN job.shadow THEN 'shadow' ELSE job.kind END AS kind,
    job.state,
    count(*) AS jobs,
    coalesce(max(extract(epoch FROM now() - job.scheduled_at)) FILTER (WHERE job.state = 'scheduled'), 0)::float8
        AS oldest_seconds,
    count(*) FILTER (WHERE job.state = 'in_progress' AND job.lease_expires_at < now() - make_interval(secs => 10))
        AS stuck,
    count(*) FILTER (WHERE job.reason_code = 'lease-expired' AND job.finished_at IS NULL) AS silent
FROM job
WHERE job.finished_at IS NULL OR job.finished_at > now() - make_interval(days => :days)
GROUP BY 1, 2
ORDER BY 1, 2;
