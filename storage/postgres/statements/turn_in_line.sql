-- The turn of the next inference job of a source: behind what the source has waiting, and never before the front of the
-- line, so that nobody saves up turns. Without a source it is the front: the smallest turn that waits for its first
-- attempt, or, when all were tried before, that waits at all. A job in its second attempt may be due long after its turn
-- has passed; newcomers who stood beside it would overtake everyone. `priority` beside `source`, and its rank elsewhere,
-- leave each question one index, so that a rare source is not looked for all along the line. Shadows have a line of their
-- own.
SELECT greatest(
    0,
    (
        SELECT max(turn) + 1
        FROM job
        WHERE state = 'scheduled' AND kind = 'inference' AND shadow = :shadow AND priority = :priority
            AND source = CAST(:source AS text)
    ),
    coalesce(
        (
            SELECT min(turn)
            FROM job
            WHERE state = 'scheduled' AND kind = 'inference' AND shadow = :shadow AND priority_rank = :priority_rank
                AND attempt = 0
        ),
        (
            SELECT min(turn)
            FROM job
            WHERE state = 'scheduled' AND kind = 'inference' AND shadow = :shadow AND priority_rank = :priority_rank
                AND attempt > 0
        )
    )
);
