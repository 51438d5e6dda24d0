-- Make rows for objects that were set aside and are not known yet; the new ones come back.
INSERT INTO quarantined_object (
    quarantine_id, reason, sop_instance_uid, study_instance_uid, sha256, size, association_id, received_at
)
SELECT quarantine_id, reason, sop_instance_uid, study_instance_uid, sha256, size, association_id, received_at
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS arrived (
    quarantine_id text, reason text, sop_instance_uid text, study_instance_uid text, sha256 text, size bigint,
    association_id uuid, received_at timestamptz
)
ORDER BY quarantine_id
ON CONFLICT (quarantine_id) DO NOTHING
RETURNING quarantine_id;
