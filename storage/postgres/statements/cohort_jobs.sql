-- Of the jobs that a study of a cohort could take its result from, the best first: one that is done before one that is
-- under way before one that came to nothing, and one that counts before one of a shadow. Only the end of each chain.
SELECT job.id, job.state, job.shadow
FROM job
JOIN study ON study.id = job.study_id
WHERE study.id = :study_id AND job.revision = study.revision AND job.algorithm_id = :algorithm_id
    AND job.kind = 'inference' AND (NOT :deliver OR NOT job.shadow)
    AND NOT EXISTS (SELECT FROM job AS successor WHERE successor.predecessor_id = job.id)
ORDER BY
    CASE job.state WHEN 'completed' THEN 0 WHEN 'in_progress' THEN 1 WHEN 'scheduled' THEN 1 ELSE 2 END,
    job.shadow,
    job.id DESC;
