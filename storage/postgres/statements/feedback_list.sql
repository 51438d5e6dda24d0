-- Every verdict, newest first, with what it is about; `counts` tells the newest one on its finding, which has the same
-- Tracking UID in each repetition of its job.
WITH newest AS (
    SELECT max(id) AS id
    FROM feedback
    GROUP BY tracking_uid, CASE WHEN tracking_uid = '' THEN result_id END
)
SELECT
    feedback.id,
    feedback.recorded_at,
    algorithm.name AS algorithm_name,
    algorithm.version AS algorithm_version,
    study.study_instance_uid,
    job.revision,
    feedback.result_id,
    feedback.tracking_uid,
    (
        SELECT finding
        FROM jsonb_array_elements(result.findings) AS finding
        WHERE finding ->> 'tracking_uid' = feedback.tracking_uid
        LIMIT 1
    ) AS finding,
    feedback.verdict,
    feedback.source,
    feedback.sop_instance_uid,
    feedback.actor,
    newest.id IS NOT NULL AS counts
FROM feedback
LEFT JOIN newest ON newest.id = feedback.id
JOIN result ON result.id = feedback.result_id
JOIN job ON job.id = result.job_id
JOIN algorithm ON algorithm.id = job.algorithm_id
JOIN study ON study.id = job.study_id
WHERE (CAST(:algorithm AS text) IS NULL OR algorithm.name = :algorithm)
    AND (CAST(:study_instance_uid AS text) IS NULL OR study.study_instance_uid = :study_instance_uid)
    AND (CAST(:verdict AS text) IS NULL OR feedback.verdict = :verdict)
ORDER BY feedback.id DESC
LIMIT :rows;
