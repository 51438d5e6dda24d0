-- Fetches of a study from archives, oldest first.
SELECT asked_by, archive, retrieve, purpose, begun_at, ended_at, outcome, listed, held, new, reason_sentence AS reason
FROM study_fetch
WHERE study_instance_uid = :study_instance_uid
ORDER BY id;
