-- What a message may say of one result, and the report that it refers to: one that arrived before one that did not.
SELECT
    result.id AS result_id,
    study.study_instance_uid,
    result.series_instance_uid,
    job.revision,
    study.patient_id,
    study.issuer_of_patient_id,
    study.accession_number,
    algorithm.name AS algorithm_name,
    algorithm.version AS algorithm_version,
    result.artifact_sha256,
    algorithm.manifest_sha256,
    result.findings,
    result.stored_at,
    report.sop_class_uid AS report_class,
    report.sop_instance_uid AS report_instance,
    report.series_instance_uid AS report_series,
    earlier.sop_class_uid AS earlier_class,
    earlier.sop_instance_uid AS earlier_instance,
    earlier.series_instance_uid AS earlier_series
FROM result
JOIN job ON job.id = result.job_id
JOIN study ON study.id = job.study_id
JOIN algorithm ON algorithm.id = job.algorithm_id
LEFT JOIN LATERAL (
    SELECT evidence.* FROM evidence
    WHERE evidence.result_id = result.id AND evidence.role = 'report'
    ORDER BY EXISTS (
        SELECT FROM delivery
        WHERE delivery.evidence_id = evidence.id AND delivery.state = 'acknowledged'
            AND (CAST(:report_at AS text) = '' OR delivery.destination = CAST(:report_at AS text))
    ) DESC, evidence.stands_in, evidence.id
    LIMIT 1
) AS report ON true
LEFT JOIN LATERAL (
    SELECT evidence.* FROM evidence
    WHERE evidence.result_id = result.predecessor_id AND evidence.role = 'report'
    ORDER BY EXISTS (
        SELECT FROM delivery
        WHERE delivery.evidence_id = evidence.id AND delivery.state = 'acknowledged'
            AND (CAST(:report_at AS text) = '' OR delivery.destination = CAST(:report_at AS text))
    ) DESC, evidence.stands_in, evidence.id
    LIMIT 1
) AS earlier ON true
WHERE result.id = :result_id;
