-- Whether a study holds nothing but instances that were fetched as context, and was never fetched to be analysed.
SELECT
    EXISTS (SELECT FROM study_fetch WHERE study_instance_uid = :study_instance_uid AND purpose = 'context')
    AND NOT EXISTS (SELECT FROM study_fetch WHERE study_instance_uid = :study_instance_uid AND purpose = 'analysis')
    AND NOT EXISTS (
        SELECT sop_instance_uid FROM instance WHERE study_id = :study_id AND excluded_rule IS NULL
        EXCEPT
        SELECT unnest(sop_instance_uids) FROM study_fetch
        WHERE study_instance_uid = :study_instance_uid AND purpose = 'context'
    );
