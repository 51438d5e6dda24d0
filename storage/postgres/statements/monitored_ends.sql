-- How the inference jobs of the last days ended, by algorithm; one without a result names no scanner.
SELECT
    algorithm.id AS algorithm_id,
    algorithm.name,
    algorithm.version,
    algorithm.stage,
    job.state,
    job.outcome,
    CASE WHEN job.outcome IS DISTINCT FROM 'analysed' THEN job.reason_code END AS code,
    count(*) AS jobs,
    max(job.finished_at) AS last_seen_at
FROM job
JOIN algorithm ON algorithm.id = job.algorithm_id
WHERE job.kind = 'inference'
    AND job.finished_at > now() - make_interval(secs => CAST(:days AS float8) * 86400)
    AND (CAST(:algorithm AS text) IS NULL OR algorithm.name = :algorithm)
GROUP BY algorithm.id, job.state, job.outcome, code
ORDER BY algorithm.name, algorithm.id DESC, jobs DESC, code;
