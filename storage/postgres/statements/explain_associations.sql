-- The associations that brought instances of a study, or objects claimed for it that were set aside.
SELECT
    association.association_id::text AS association_id,
    association.calling_ae_title,
    association.called_ae_title,
    association.remote_address,
    association.started_at,
    association.ended_at,
    association.ending AS end,
    association.stored_count,
    association.refused_count,
    association.reason,
    association.door,
    association.account,
    (
        SELECT count(*) FROM instance JOIN study ON study.id = instance.study_id
        WHERE instance.association_id = association.association_id
            AND study.study_instance_uid = :study_instance_uid
    ) AS instances
FROM association
WHERE association.association_id IN (
    SELECT instance.association_id FROM instance JOIN study ON study.id = instance.study_id
    WHERE study.study_instance_uid = :study_instance_uid
    UNION
    SELECT quarantined_object.association_id FROM quarantined_object
    WHERE quarantined_object.study_instance_uid = :study_instance_uid
)
ORDER BY association.started_at, association.association_id;
