-- What became of the findings of each version. A finding is a Tracking UID, which a repetition of the job has again, or a
-- result without findings, once in a revision; its newest verdict counts. What is in shadow nobody sees, so nobody judges it.
WITH shown AS (
    SELECT
        result.id AS result_id,
        job.algorithm_id,
        coalesce(nullif(finding.facts ->> 'tracking_uid', ''), 'whole ' || job.study_id || '/' || job.revision) AS thing,
        coalesce(finding.facts ->> 'tracking_uid', '') AS tracking_uid
    FROM result
    JOIN job ON job.id = result.job_id
    LEFT JOIN LATERAL jsonb_array_elements(result.findings) AS finding (facts) ON true
    WHERE job.outcome = 'analysed' AND NOT job.shadow
),
judged AS (
    SELECT DISTINCT ON (shown.algorithm_id, shown.thing) shown.algorithm_id, shown.thing, feedback.verdict
    FROM shown
    JOIN feedback ON feedback.result_id = shown.result_id AND feedback.tracking_uid = shown.tracking_uid
    ORDER BY shown.algorithm_id, shown.thing, feedback.id DESC
)
SELECT
    algorithm.id AS algorithm_id,
    algorithm.name,
    algorithm.version,
    algorithm.stage,
    count(DISTINCT shown.result_id) AS results,
    count(DISTINCT shown.thing) AS findings,
    count(DISTINCT shown.thing) FILTER (WHERE judged.verdict = 'accept') AS accepted,
    count(DISTINCT shown.thing) FILTER (WHERE judged.verdict = 'reject') AS rejected,
    count(DISTINCT shown.thing) FILTER (WHERE judged.verdict = 'changed') AS changed
FROM algorithm
JOIN shown ON shown.algorithm_id = algorithm.id
LEFT JOIN judged ON judged.algorithm_id = shown.algorithm_id AND judged.thing = shown.thing
WHERE CAST(:algorithm AS text) IS NULL OR algorithm.name = :algorithm
GROUP BY algorithm.id
ORDER BY algorithm.name, algorithm.id DESC;
