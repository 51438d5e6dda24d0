-- One job per active algorithm on one revision of a study, unless it has one already.
INSERT INTO job (kind, study_id, revision, algorithm_id)
SELECT 'inference', :study_id, :revision, algorithm.id
FROM algorithm
WHERE algorithm.stage = 'active'
    AND NOT EXISTS (
        SELECT FROM job
        WHERE job.study_id = :study_id AND job.revision = :revision AND job.algorithm_id = algorithm.id
    )
ORDER BY algorithm.name
RETURNING id, algorithm_id;
