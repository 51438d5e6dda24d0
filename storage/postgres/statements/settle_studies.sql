-- Lock the study that has been quiet longest and has instances that no revision holds; one being written is skipped.
SELECT study.id AS study_id, study.study_instance_uid, study.revision
FROM study
WHERE study.parked_at IS NULL
    AND study.last_received_at <= now() - make_interval(secs => :quiet_seconds)
    AND EXISTS (
        SELECT FROM instance
        WHERE instance.study_id = study.id AND instance.revision IS NULL AND instance.excluded_rule IS NULL
    )
ORDER BY study.last_received_at
LIMIT 1
FOR UPDATE OF study SKIP LOCKED;
