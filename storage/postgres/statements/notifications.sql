-- The newest messages to receivers and how far each has come, of one receiver or study, or those that want an operator.
SELECT
    notification.id AS notification_id,
    notification.receiver,
    notification.state,
    notification.noted_at,
    notification.due_at,
    notification.tries,
    notification.delivered_at,
    notification.reason_code,
    notification.reason_sentence AS why,
    notification.result_id,
    result.job_id,
    algorithm.name AS algorithm,
    study.study_instance_uid
FROM notification
JOIN result ON result.id = notification.result_id
JOIN job ON job.id = result.job_id
JOIN algorithm ON algorithm.id = job.algorithm_id
JOIN study ON study.id = job.study_id
WHERE (CAST(:receiver AS text) IS NULL OR notification.receiver = CAST(:receiver AS text))
    AND (CAST(:study_instance_uid AS text) IS NULL OR study.study_instance_uid = CAST(:study_instance_uid AS text))
    AND (NOT CAST(:undelivered AS boolean) OR notification.state <> 'delivered')
ORDER BY notification.id DESC
LIMIT :rows;
