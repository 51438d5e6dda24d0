-- A job of low priority for one study of a cohort.
INSERT INTO job (kind, priority, priority_because, study_id, revision, algorithm_id, shadow, source, turn)
VALUES ('inference', 'low', :because, :study_id, :revision, :algorithm_id, :shadow, :source, :turn)
RETURNING id;
