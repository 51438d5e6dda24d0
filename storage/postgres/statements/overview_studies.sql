-- Every study as an administrator sees it, newest first.
SELECT study_overview.*, (
    SELECT count(*) FROM series JOIN study ON study.id = series.study_id
    WHERE study.study_instance_uid = study_overview.study_instance_uid
) AS series
FROM study_overview
WHERE CAST(:study_instance_uid AS text) IS NULL OR study_instance_uid = :study_instance_uid
ORDER BY last_received_at DESC, study_instance_uid;
