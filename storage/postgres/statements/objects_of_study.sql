-- Every object of a study, or of one series or instance in it, in the order of its numbers; our results come last.
SELECT
    study.study_instance_uid,
    study_object.series_instance_uid,
    study_object.sop_instance_uid,
    study_object.sop_class_uid,
    study_object.transfer_syntax_uid,
    study_object.instance_number,
    study_object.origin,
    study_object.sha256
FROM study
JOIN study_object ON study_object.study_id = study.id
WHERE study.study_instance_uid = :study_instance_uid
    AND (CAST(:series_instance_uid AS text) IS NULL OR study_object.series_instance_uid = :series_instance_uid)
    AND (CAST(:sop_instance_uid AS text) IS NULL OR study_object.sop_instance_uid = :sop_instance_uid)
ORDER BY
    study_object.origin, study_object.series_number, study_object.series_instance_uid, study_object.instance_number,
    study_object.sop_instance_uid;
