-- The results of a study, those that count or those of shadows, with the algorithm that made each, its inputs, its pictures and its evidence in the order of delivery.
SELECT
    result.id AS result_id,
    result.job_id,
    job.revision,
    algorithm.name AS algorithm_name,
    algorithm.version AS algorithm_version,
    result.artifact_sha256,
    algorithm.manifest_sha256,
    result.execution_provider,
    result.series_instance_uid,
    result.stored_at,
    result.findings,
    result.report_text,
    job.outcome IS NOT DISTINCT FROM 'analysed' AS analysed, -- else it tells why there is no result
    result.pictures,
    (SELECT count(*) FROM result_input WHERE result_input.result_id = result.id) AS inputs,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'role', evidence.role,
            'form', evidence.form,
            'sop_class_uid', evidence.sop_class_uid,
            'sop_instance_uid', evidence.sop_instance_uid,
            'series_instance_uid', evidence.series_instance_uid,
            'transfer_syntax_uid', evidence.transfer_syntax_uid,
            'sha256', evidence.sha256,
            'size', evidence.size
        ) ORDER BY evidence.id), '[]')
        FROM evidence
        WHERE evidence.result_id = result.id
    ) AS evidence
FROM result
JOIN job ON job.id = result.job_id
JOIN study ON study.id = job.study_id
JOIN algorithm ON algorithm.id = job.algorithm_id
WHERE study.study_instance_uid = :study_instance_uid AND job.shadow = :shadow
ORDER BY result.id;
