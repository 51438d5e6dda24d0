-- Count what new instances added to their studies; those that a rule excludes leave the quiet time as it is.
UPDATE study
SET
    instance_count = instance_count + arrived.instances,
    byte_count = byte_count + arrived.bytes,
    last_received_at =
        CASE WHEN arrived.active THEN greatest(study.last_received_at, now()) ELSE study.last_received_at END,
    unsettled_since =
        CASE WHEN arrived.active THEN coalesce(study.unsettled_since, now()) ELSE study.unsettled_since END
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS arrived (
    study_id bigint, instances bigint, bytes bigint, active boolean
)
WHERE study.id = arrived.study_id;
