-- Each algorithm of a workitem with the newest job of its chain, and whether another open workitem wants that job too.
WITH RECURSIVE chain AS (
    SELECT workitem_job.algorithm, workitem_job.made, workitem_job.job_id
    FROM workitem_job
    WHERE workitem_job.workitem_id = :workitem_id
    UNION ALL
    SELECT chain.algorithm, chain.made, job.id
    FROM chain
    JOIN job ON job.predecessor_id = chain.job_id
)
SELECT
    chain.algorithm,
    chain.made,
    job.id,
    job.state,
    job.outcome,
    job.reason_sentence,
    job.refusals,
    job.started_at,
    job.finished_at,
    result.id AS result_id,
    EXISTS (
        SELECT FROM workitem_job AS other
        JOIN workitem ON workitem.id = other.workitem_id
        WHERE other.job_id = job.id AND other.workitem_id <> :workitem_id AND workitem.ended_at IS NULL
    ) AS shared
FROM chain
JOIN job ON job.id = chain.job_id
LEFT JOIN result ON result.job_id = job.id
WHERE NOT EXISTS (SELECT FROM job AS successor WHERE successor.predecessor_id = job.id)
ORDER BY chain.algorithm;
