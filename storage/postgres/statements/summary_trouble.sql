-- The newest studies of the last days that an operator should look at.
SELECT
    study_overview.study_instance_uid,
    study_overview.state,
    study_overview.error,
    study_overview.last_received_at
FROM study
JOIN study_overview ON study_overview.study_instance_uid = study.study_instance_uid
WHERE study.last_received_at > now() - make_interval(days => :days)
    AND (study_overview.state IN ('failed', 'parked') OR (study_overview.state = 'delivering' AND study_overview.error <> ''))
ORDER BY study.last_received_at DESC
LIMIT :rows;
