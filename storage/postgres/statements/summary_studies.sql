-- How many studies of the last days stand in which state.
SELECT study_overview.state, count(*) AS studies
FROM study
JOIN study_overview ON study_overview.study_instance_uid = study.study_instance_uid
WHERE study.last_received_at > now() - make_interval(days => :days)
GROUP BY study_overview.state;
