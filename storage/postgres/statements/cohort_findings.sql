-- One row for each finding of a cohort, and one for each study without; in an order that stays the same, and that nobody
-- without the key can tell: UIDs in their order are days in their order, and two tables in one order have the same rows.
SELECT
    member.study_instance_uid,
    member.state,
    member.reason_code,
    member.reason_sentence,
    study.patient_id,
    study.issuer_of_patient_id,
    study.study_date,
    job.revision,
    job.shadow,
    result.series_instance_uid,
    series.modality,
    coalesce(result.artifact_sha256, algorithm.artifact_sha256) AS model_sha256,
    jsonb_array_length(result.findings) AS findings,
    finding.number AS finding_number,
    finding.facts AS finding
FROM cohort_member AS member
JOIN cohort ON cohort.id = member.cohort_id
JOIN algorithm ON algorithm.id = cohort.algorithm_id
LEFT JOIN study ON study.study_instance_uid = member.study_instance_uid
LEFT JOIN job ON job.id = member.job_id
LEFT JOIN result ON result.job_id = job.id
LEFT JOIN series ON series.study_id = study.id AND series.series_instance_uid = result.series_instance_uid
LEFT JOIN LATERAL jsonb_array_elements(result.findings) WITH ORDINALITY AS finding (facts, number) ON true
WHERE member.cohort_id = :cohort_id
ORDER BY
    sha256(CAST(:order_key AS bytea) || convert_to(member.study_instance_uid, 'UTF8')),
    member.study_instance_uid,
    finding.number;
