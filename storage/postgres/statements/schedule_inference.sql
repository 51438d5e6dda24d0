-- One job per active algorithm on one revision of a study, unless it has one already; of those named, if any are. Each
-- is a piece of work with a turn of its own.
INSERT INTO job (kind, priority, study_id, revision, algorithm_id, source, turn)
SELECT
    'inference', :priority, :study_id, :revision, algorithm.id, :source,
    :turn - 1 + row_number() OVER (ORDER BY algorithm.name)
FROM algorithm
WHERE algorithm.stage = 'active'
    AND (CAST(:names AS text[]) IS NULL OR algorithm.name = ANY(CAST(:names AS text[])))
    AND NOT EXISTS (
        SELECT FROM job
        WHERE job.study_id = :study_id AND job.revision = :revision AND job.algorithm_id = algorithm.id
    )
ORDER BY algorithm.name
RETURNING id, algorithm_id;
