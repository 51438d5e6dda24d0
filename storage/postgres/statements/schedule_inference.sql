-- One job per algorithm of a stage on one revision of a study, unless it has one already; of those named, if any are.
-- Each is a piece of work with a turn of its own. What an algorithm did as a shadow is done for real once it is active.
INSERT INTO job (kind, priority, priority_because, study_id, revision, algorithm_id, shadow, source, turn)
SELECT
    'inference', :priority, :because, :study_id, :revision, algorithm.id, :shadow, :source,
    :turn - 1 + row_number() OVER (ORDER BY algorithm.name, algorithm.id)
FROM algorithm
WHERE algorithm.stage = :stage
    AND (CAST(:names AS text[]) IS NULL OR algorithm.name = ANY(CAST(:names AS text[])))
    AND NOT EXISTS (
        SELECT FROM job
        WHERE job.study_id = :study_id AND job.revision = :revision AND job.algorithm_id = algorithm.id
            AND job.kind = 'inference' AND (:shadow OR NOT job.shadow)
    )
ORDER BY algorithm.name, algorithm.id
RETURNING id, algorithm_id;
