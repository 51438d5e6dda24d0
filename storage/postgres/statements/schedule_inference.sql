-- One job per active algorithm on one revision of a study, unless it has one already; of those named, if any are.
INSERT INTO job (kind, study_id, revision, algorithm_id)
SELECT 'inference', :study_id, :revision, algorithm.id
FROM algorithm
WHERE algorithm.stage = 'active'
    AND (CAST(:names AS text[]) IS NULL OR algorithm.name = ANY(CAST(:names AS text[])))
    AND NOT EXISTS (
        SELECT FROM job
        WHERE job.study_id = :study_id AND job.revision = :revision AND job.algorithm_id = algorithm.id
    )
ORDER BY algorithm.name
RETURNING id, algorithm_id;
