-- Take the studies that one archive is to be asked about now; who dies while asking leaves them due a little later.
UPDATE study_count
SET due_at = now() + make_interval(secs => :patience_seconds), asked_at = now()
FROM study
WHERE study.id = study_count.study_id
    AND (study_count.study_id, study_count.destination) IN (
        SELECT due.study_id, due.destination FROM study_count AS due
        WHERE due.destination = :destination AND due.due_at <= now()
        ORDER BY due.due_at
        LIMIT :most
        FOR UPDATE SKIP LOCKED
    )
RETURNING study_count.study_id, study.study_instance_uid, study_count.asked_at;
