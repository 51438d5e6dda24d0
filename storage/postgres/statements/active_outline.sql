-- What the active version of an algorithm has outlined on a revision of a study; no row where it has no result there yet.
SELECT algorithm.version, evidence.sha256
FROM job
JOIN study ON study.id = job.study_id
JOIN algorithm ON algorithm.id = job.algorithm_id
JOIN result ON result.job_id = job.id
LEFT JOIN evidence ON evidence.result_id = result.id AND evidence.form IN ('binary', 'binary-unaligned')
WHERE study.study_instance_uid = :study_instance_uid AND job.revision = :revision AND algorithm.name = :algorithm_name
    AND job.kind = 'inference' AND job.outcome = 'analysed' AND NOT job.shadow
ORDER BY result.id DESC
LIMIT 1;
