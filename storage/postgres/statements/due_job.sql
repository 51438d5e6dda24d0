-- The most urgent due job of one kind whose turn it is, locked; rows that another claimant holds are skipped. Those of
-- shadows come last, whatever their age.
--
-- It is one of the first few of two lines, so that it costs the same however many wait, and however many of them wait for
-- their time: what was never tried is due, and stands in order of turns; what was tried before stands in order of time.
-- Only the chosen row is locked, so that claimants at the same moment take the most urgent ones one after the other.
WITH candidate AS MATERIALIZED (
    (
        SELECT id, shadow, priority_rank, turn, due_at
        FROM job
        WHERE state = 'scheduled' AND kind = :kind AND attempt = 0 AND due_at <= now()
        ORDER BY shadow, priority_rank, turn, due_at, id
        LIMIT 8
    )
    UNION ALL
    SELECT tried.*
    FROM unnest(ARRAY[false, true]) AS class (shadow)
    CROSS JOIN unnest(CAST(:ranks AS integer[])) AS urgency (priority_rank)
    CROSS JOIN LATERAL (
        SELECT id, shadow, priority_rank, turn, due_at
        FROM job
        WHERE state = 'scheduled' AND kind = :kind AND attempt > 0 AND due_at <= now()
            AND shadow = class.shadow AND priority_rank = urgency.priority_rank
        ORDER BY due_at, id
        LIMIT 8
    ) AS tried
)
SELECT job.id
FROM candidate
JOIN job ON job.id = candidate.id AND job.state = 'scheduled'
ORDER BY candidate.shadow, candidate.priority_rank, candidate.turn, candidate.due_at, candidate.id
LIMIT 1
FOR UPDATE OF job SKIP LOCKED;
