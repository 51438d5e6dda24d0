-- What archives said of a study beside what of it is here; our own results that only they hold are taken off theirs.
SELECT
    study_count.destination,
    study_count.instances,
    study_count.note,
    coalesce(study_count.counted_at > study.last_received_at, false) AS since,
    (SELECT count(*) FROM instance WHERE instance.study_id = study.id) AS here,
    (
        SELECT count(DISTINCT evidence.sop_instance_uid)
        FROM delivery
        JOIN evidence ON evidence.id = delivery.evidence_id
        JOIN result ON result.id = evidence.result_id
        JOIN job ON job.id = result.job_id
        WHERE job.study_id = study.id
            AND delivery.destination = study_count.destination
            AND delivery.state = 'acknowledged'
            AND NOT EXISTS (SELECT FROM instance WHERE instance.sop_instance_uid = evidence.sop_instance_uid)
    ) AS ours
FROM study_count
JOIN study ON study.id = study_count.study_id
WHERE study_count.study_id = :study_id AND study_count.destination = ANY(:destinations)
ORDER BY study_count.destination;
