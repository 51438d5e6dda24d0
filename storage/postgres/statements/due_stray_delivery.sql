-- A due delivery to a destination that is none of the known ones, locked; rows that another claimant holds are skipped.
-- Each destination that has some is looked at once, not each delivery.
WITH RECURSIVE place AS (
    (
        SELECT destination
        FROM job
        WHERE state = 'scheduled' AND kind = 'delivery'
        ORDER BY destination
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT job.destination
        FROM job
        WHERE state = 'scheduled' AND kind = 'delivery' AND job.destination > place.destination
        ORDER BY job.destination
        LIMIT 1
    )
    FROM place
    WHERE place.destination IS NOT NULL
)
SELECT head.id
FROM place
CROSS JOIN unnest(CAST(:ranks AS integer[])) AS urgency (priority_rank)
CROSS JOIN LATERAL (
    SELECT id
    FROM job
    WHERE state = 'scheduled' AND kind = 'delivery' AND destination = place.destination
        AND priority_rank = urgency.priority_rank AND turn = 0 AND due_at <= now()
    ORDER BY due_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
) AS head
WHERE place.destination <> ALL(:known)
LIMIT 1;
