-- The oldest object that came back and that nobody looks at, taken for so many seconds.
WITH oldest AS (
    SELECT instance_id
    FROM returned_object
    WHERE outcome IS NULL AND (claimed_at IS NULL OR claimed_at < now() - make_interval(secs => :patience_seconds))
    ORDER BY instance_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE returned_object
SET claimed_at = now(), looks = returned_object.looks + 1
FROM oldest
JOIN instance ON instance.id = oldest.instance_id
JOIN study ON study.id = instance.study_id
JOIN association ON association.association_id = instance.association_id
WHERE returned_object.instance_id = oldest.instance_id
RETURNING
    returned_object.instance_id,
    returned_object.looks,
    instance.sop_instance_uid,
    instance.sop_class_uid,
    instance.excluded_rule,
    instance.sha256,
    instance.size,
    study.study_instance_uid,
    coalesce(nullif(association.account, ''), association.calling_ae_title) AS sender;
