-- The results of a study that readers were shown, the newest first, with the objects that were made of each.
SELECT
    result.id AS result_id,
    result.findings,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'role', evidence.role,
            'form', evidence.form,
            'sop_instance_uid', evidence.sop_instance_uid,
            'sha256', evidence.sha256
        ) ORDER BY evidence.id), '[]')
        FROM evidence
        WHERE evidence.result_id = result.id
    ) AS evidence
FROM result
JOIN job ON job.id = result.job_id
JOIN study ON study.id = job.study_id
WHERE study.study_instance_uid = :study_instance_uid AND job.outcome = 'analysed' AND NOT job.shadow
ORDER BY result.id DESC;
