-- Every verdict on the results of a study, in the order in which they were given.
SELECT
    feedback.id,
    feedback.result_id,
    feedback.tracking_uid,
    feedback.verdict,
    feedback.source,
    feedback.sop_instance_uid,
    feedback.actor,
    feedback.recorded_at
FROM feedback
JOIN result ON result.id = feedback.result_id
JOIN job ON job.id = result.job_id
JOIN study ON study.id = job.study_id
WHERE study.study_instance_uid = :study_instance_uid
ORDER BY feedback.id;
