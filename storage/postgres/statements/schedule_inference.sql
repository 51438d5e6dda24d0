-- One job per active algorithm on one revision of a study.
INSERT INTO job (kind, study_id, revision, algorithm_id)
SELECT 'inference', :study_id, :revision, algorithm.id
FROM algorithm
WHERE algorithm.stage = 'active'
ORDER BY algorithm.name
RETURNING id, algorithm_id;
