-- Make rows for instances that are not known yet, setting our own results aside before any other rule; the new ones
-- come back.
INSERT INTO instance (
    study_id, series_id, sop_instance_uid, sop_class_uid, transfer_syntax_uid, instance_number, sha256, size,
    association_id, received_at, excluded_rule
)
SELECT
    arrived.study_id, series.id, sop_instance_uid, sop_class_uid, transfer_syntax_uid, instance_number, sha256, size,
    association_id, received_at,
    CASE
        WHEN EXISTS (SELECT FROM evidence WHERE evidence.sop_instance_uid = arrived.sop_instance_uid)
        THEN 'own-result'
        ELSE arrived.excluded_rule
    END
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS arrived (
    study_id bigint, series_instance_uid text, sop_instance_uid text, sop_class_uid text, transfer_syntax_uid text,
    instance_number bigint, sha256 text, size bigint, association_id uuid, received_at timestamptz,
    excluded_rule text
)
JOIN series ON series.study_id = arrived.study_id AND series.series_instance_uid = arrived.series_instance_uid
ON CONFLICT (sop_instance_uid) DO NOTHING
RETURNING study_id, sop_instance_uid, size, association_id::text AS association_id, excluded_rule;
