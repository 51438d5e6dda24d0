-- What the routes of a study asked for of its patient's priors.
SELECT prior_request.archive, prior_request.modality, prior_request.state, prior_request.attempt, prior_request.note
FROM prior_request
JOIN study ON study.id = prior_request.study_id
WHERE study.study_instance_uid = :study_instance_uid
ORDER BY prior_request.id;
