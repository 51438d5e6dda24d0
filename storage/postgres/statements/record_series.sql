-- Make rows for series that are not known yet in their study.
INSERT INTO series (
    study_id, series_instance_uid, modality, body_part_examined, series_description, series_number
)
SELECT study_id, series_instance_uid, modality, body_part_examined, series_description, series_number
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS arrived (
    study_id bigint, series_instance_uid text, modality text, body_part_examined text, series_description text,
    series_number bigint
)
ON CONFLICT (study_id, series_instance_uid) DO NOTHING;
