-- The most urgent due delivery to one destination, locked; rows that another claimant holds are skipped. What waits for
-- other destinations, or for its time, is not even looked at.
SELECT head.id
FROM unnest(CAST(:ranks AS integer[])) AS urgency (priority_rank)
CROSS JOIN LATERAL (
    SELECT id, priority_rank, due_at
    FROM job
    WHERE state = 'scheduled' AND kind = 'delivery' AND destination = :destination
        AND priority_rank = urgency.priority_rank AND turn = 0 AND due_at <= now()
    ORDER BY due_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
) AS head
ORDER BY head.priority_rank
LIMIT 1;
