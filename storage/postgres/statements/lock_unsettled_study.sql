-- Lock one study for a look at whether it is complete; one being written is skipped.
SELECT
    study.id AS study_id,
    study.study_instance_uid,
    study.revision,
    study.last_received_at,
    extract(epoch FROM now() - study.last_received_at)::float8 AS quiet_for,
    extract(epoch FROM now() - coalesce(study.unsettled_since, study.last_received_at))::float8 AS waited
FROM study
WHERE study.id = :study_id AND study.parked_at IS NULL
FOR UPDATE OF study SKIP LOCKED;
