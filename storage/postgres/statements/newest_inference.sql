-- The active version of an algorithm, and the newest job that it has on a revision of a study, if any.
SELECT algorithm.id AS algorithm_id, algorithm.version, newest.id AS job_id, newest.state, newest.priority_rank
FROM algorithm
LEFT JOIN LATERAL (
    SELECT job.id, job.state, job.priority_rank
    FROM job
    WHERE job.kind = 'inference' AND NOT job.shadow AND job.algorithm_id = algorithm.id
        AND job.study_id = :study_id AND job.revision = :revision
    ORDER BY job.id DESC
    LIMIT 1
) AS newest ON true
WHERE algorithm.name = :name AND algorithm.stage = 'active';
