-- A result that may be judged, held so that two verdicts on it come one after the other.
SELECT result.id, result.findings
FROM result
JOIN job ON job.id = result.job_id
JOIN study ON study.id = job.study_id
WHERE study.study_instance_uid = :study_instance_uid AND result.id = :result_id
    AND job.outcome = 'analysed' AND NOT job.shadow
FOR NO KEY UPDATE OF result;
