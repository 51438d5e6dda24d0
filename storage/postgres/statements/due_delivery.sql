-- The most urgent due delivery to one destination, locked; rows that another claimant holds are skipped, and no other is
-- locked. What waits for other destinations, or for its time, is not even looked at.
WITH candidate AS MATERIALIZED (
    SELECT head.*
    FROM unnest(CAST(:ranks AS integer[])) AS urgency (priority_rank)
    CROSS JOIN LATERAL (
        SELECT id, priority_rank, due_at
        FROM job
        WHERE state = 'scheduled' AND kind = 'delivery' AND destination = :destination
            AND priority_rank = urgency.priority_rank AND turn = 0 AND due_at <= now()
        ORDER BY due_at, id
        LIMIT 8
    ) AS head
)
SELECT job.id
FROM candidate
JOIN job ON job.id = candidate.id AND job.state = 'scheduled'
ORDER BY candidate.priority_rank, candidate.due_at, candidate.id
LIMIT 1
FOR UPDATE OF job SKIP LOCKED;
