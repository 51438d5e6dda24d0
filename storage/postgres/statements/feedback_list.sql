-- Every verdict, newest first, with what it is about; `counts` tells the newest one on its finding.
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
    NOT EXISTS (
        SELECT FROM feedback AS later
        WHERE later.result_id = feedback.result_id AND later.tracking_uid = feedback.tracking_uid AND later.id > feedback.id
    ) AS counts
FROM feedback
JOIN result ON result.id = feedback.result_id
JOIN job ON job.id = result.job_id
JOIN algorithm ON algorithm.id = job.algorithm_id
JOIN study ON study.id = job.study_id
WHERE (CAST(:algorithm AS text) IS NULL OR algorithm.name = :algorithm)
    AND (CAST(:study_instance_uid AS text) IS NULL OR study.study_instance_uid = :study_instance_uid)
    AND (CAST(:verdict AS text) IS NULL OR feedback.verdict = :verdict)
ORDER BY feedback.id DESC
LIMIT :rows;
