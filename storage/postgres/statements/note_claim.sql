-- Note what a peer named once for each study that it names an instance of; those without a row may be of any of them.
-- Who names instances of more studies than that says nothing of one, and would fill the table.
WITH named AS (SELECT DISTINCT uid FROM unnest(CAST(:sop_instance_uids AS text[])) AS uid),
located AS (
    SELECT named.uid, instance.study_id FROM named LEFT JOIN instance ON instance.sop_instance_uid = named.uid
)
INSERT INTO completeness_claim (claim_id, study_instance_uid, kind, calling_ae_title, sop_instance_uids)
SELECT
    :claim_id,
    study.study_instance_uid,
    :kind,
    :calling_ae_title,
    ARRAY(
        SELECT located.uid FROM located
        WHERE located.study_id = study.id OR located.study_id IS NULL
        ORDER BY located.uid
    )
FROM study
WHERE study.id IN (SELECT located.study_id FROM located)
    AND (SELECT count(DISTINCT located.study_id) FROM located) <= :most_studies
ON CONFLICT (claim_id, study_instance_uid) DO NOTHING;
