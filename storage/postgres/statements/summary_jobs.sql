-- Jobs by kind and state; those that have ended count for the last days only. The age is that of the longest wait.
SELECT
    job.kind,
    job.state,
    count(*) AS jobs,
    coalesce(max(extract(epoch FROM now() - job.scheduled_at)) FILTER (WHERE job.state = 'scheduled'), 0)::float8
        AS oldest_seconds
FROM job
WHERE job.finished_at IS NULL OR job.finished_at > now() - make_interval(days => :days)
GROUP BY job.kind, job.state
ORDER BY job.kind, job.state;
