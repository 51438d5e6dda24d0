-- Evidence objects by destination and state of their delivery, for jobs of the last days and all that still wait.
SELECT
    delivery.destination,
    delivery.state,
    count(*) AS deliveries,
    max(delivery.acknowledged_at) AS last_acknowledged_at,
    extract(epoch FROM now() - min(job.scheduled_at) FILTER (WHERE job.finished_at IS NULL))::float8 AS oldest_seconds
FROM delivery
JOIN job ON job.id = delivery.job_id
WHERE job.finished_at IS NULL OR job.finished_at > now() - make_interval(days => :days)
GROUP BY delivery.destination, delivery.state
ORDER BY delivery.destination, delivery.state;
