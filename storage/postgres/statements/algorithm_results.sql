-- How the inference jobs of one version ended, those that count and those of its time in shadow; a job that was done
-- again counts once, as its last.
SELECT
    job.shadow,
    count(*) FILTER (WHERE job.outcome = 'analysed') AS analysed,
    count(*) FILTER (WHERE job.outcome = 'not-analysed') AS not_analysed,
    count(*) FILTER (WHERE job.state = 'failed') AS failed,
    count(*) FILTER (WHERE job.state IN ('scheduled', 'in_progress')) AS open
FROM job
JOIN algorithm ON algorithm.id = job.algorithm_id
WHERE algorithm.name = :algorithm_name AND algorithm.version = :version AND job.kind = 'inference'
    AND NOT EXISTS (SELECT FROM job AS later WHERE later.predecessor_id = job.id)
GROUP BY job.shadow;
