-- Have an archive asked how many instances a study has: for the first time, after something arrived, or again.
INSERT INTO study_count AS known (study_id, destination)
VALUES (:study_id, :destination)
ON CONFLICT (study_id, destination) DO UPDATE
SET due_at = now()
WHERE known.due_at IS NULL
    AND (
        known.asked_at <= (SELECT study.last_received_at FROM study WHERE study.id = known.study_id)
        OR known.asked_at <= now() - make_interval(secs => :again_seconds)
    );
