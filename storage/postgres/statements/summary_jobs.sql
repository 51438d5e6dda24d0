-- Jobs by kind and state, shadows apart, because they may wait for ever; those that have ended count for the last days only. The age is that of the longest wait.
SELECT
    CASE WHEN job.shadow THEN 'shadow' ELSE job.kind END AS kind,
    job.state,
    count(*) AS jobs,
    coalesce(max(extract(epoch FROM now() - job.scheduled_at)) FILTER (WHERE job.state = 'scheduled'), 0)::float8
        AS oldest_seconds
FROM job
WHERE job.finished_at IS NULL OR job.finished_at > now() - make_interval(days => :days)
GROUP BY 1, 2
ORDER BY 1, 2;
