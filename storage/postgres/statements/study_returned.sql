-- What became of the looks at the objects of a study that came back; left out are those about no result of ours, and
-- our own that a PACS sent back as they were.
SELECT instance.sop_instance_uid, returned_object.outcome, returned_object.looked_at
FROM returned_object
JOIN instance ON instance.id = returned_object.instance_id
JOIN study ON study.id = instance.study_id
WHERE study.study_instance_uid = :study_instance_uid AND returned_object.outcome <> 'not-ours'
    AND NOT (returned_object.outcome = 'says-nothing' AND instance.excluded_rule = 'own-result')
ORDER BY returned_object.instance_id;
