-- One study for a look at whether it is complete, without a lock.
SELECT
    study.id AS study_id,
    study.study_instance_uid,
    study.revision,
    study.last_received_at,
    extract(epoch FROM now() - study.last_received_at)::float8 AS quiet_for,
    extract(epoch FROM now() - coalesce(study.unsettled_since, study.last_received_at))::float8 AS waited
FROM study
WHERE study.study_instance_uid = :study_instance_uid AND study.parked_at IS NULL;
