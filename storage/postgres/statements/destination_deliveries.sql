-- What each destination has, waits for and did not get, in evidence objects; a given-up job leaves what it owed waiting.
SELECT
    delivery.destination,
    count(*) FILTER (WHERE delivery.state = 'waiting' AND job.state IN ('scheduled', 'in_progress')) AS waiting,
    count(*) FILTER (
        WHERE delivery.state = 'refused' OR (delivery.state = 'waiting' AND job.state = 'failed')
    ) AS failed,
    count(*) FILTER (WHERE delivery.state = 'acknowledged') AS acknowledged,
    max(delivery.acknowledged_at) AS last_acknowledged_at,
    (
        array_agg(job.reason_sentence ORDER BY job.id DESC) FILTER (
            WHERE delivery.state IN ('waiting', 'refused') AND job.reason_sentence IS NOT NULL
        )
    )[1] AS error
FROM delivery
JOIN job ON job.id = delivery.job_id
GROUP BY delivery.destination
ORDER BY delivery.destination;
