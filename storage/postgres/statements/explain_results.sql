-- The results of a study, those that count or those of shadows, with the algorithm that made each, what it follows and what supersedes it, its inputs, its pictures and its evidence in the order of delivery.
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
    result.predecessor_id,
    CASE
        WHEN newest.revision > job.revision AND EXISTS (
            (
                SELECT instance_id FROM result_input WHERE result_input.result_id = result.id
                EXCEPT SELECT instance_id FROM result_input WHERE result_input.result_id = newest.result_id
            )
            UNION ALL
            (
                SELECT instance_id FROM result_input WHERE result_input.result_id = newest.result_id
                EXCEPT SELECT instance_id FROM result_input WHERE result_input.result_id = result.id
            )
        ) THEN jsonb_build_object(
            'result_id', newest.result_id, 'job_id', newest.job_id, 'revision', newest.revision
        )
    END AS superseded_by,
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
LEFT JOIN LATERAL ( -- by revision: one that an earlier revision got late is not what counts
    SELECT newest_result.id AS result_id, newest_job.id AS job_id, newest_job.revision
    FROM job AS newest_job
    JOIN result AS newest_result ON newest_result.job_id = newest_job.id
    JOIN algorithm AS newest_algorithm ON newest_algorithm.id = newest_job.algorithm_id
    WHERE newest_job.study_id = job.study_id AND newest_algorithm.name = algorithm.name
        AND newest_job.outcome = 'analysed' AND NOT newest_job.shadow AND NOT job.shadow AND job.outcome = 'analysed'
    ORDER BY newest_job.revision DESC, newest_result.id DESC
    LIMIT 1
) AS newest ON true
WHERE study.study_instance_uid = :study_instance_uid AND job.shadow = :shadow
ORDER BY result.id;
