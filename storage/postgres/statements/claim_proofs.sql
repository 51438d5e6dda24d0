-- Take what one destination is to be asked now; rows that another prover holds are skipped.
WITH due AS MATERIALIZED (
    SELECT delivery_id
    FROM delivery_proof
    WHERE destination = :destination AND state IN ('owed', 'asked') AND due_at <= now()
    ORDER BY due_at, delivery_id
    LIMIT :most
    FOR UPDATE SKIP LOCKED
)
UPDATE delivery_proof
SET state = 'asked',
    way = :way,
    request_uid = :request_uid,
    asked_at = now(),
    asks = delivery_proof.asks + 1,
    due_at = now() + make_interval(secs => :patience_seconds)
FROM due
JOIN delivery ON delivery.id = due.delivery_id
JOIN evidence ON evidence.id = delivery.evidence_id
JOIN job ON job.id = delivery.job_id
JOIN study ON study.id = job.study_id
WHERE delivery_proof.delivery_id = due.delivery_id
RETURNING
    delivery_proof.delivery_id,
    study.study_instance_uid,
    evidence.series_instance_uid,
    evidence.sop_class_uid,
    evidence.sop_instance_uid;
