-- Each object on its way to a destination and how far it is, newest first; what was not needed is not on its way,
-- unless the destination had it and lost it.
SELECT
    study.study_instance_uid,
    delivery.destination,
    evidence.sop_instance_uid,
    evidence.form,
    delivery.state,
    delivery.attempts,
    delivery.status,
    delivery.acknowledged_at,
    delivery.job_id,
    delivery_proof.state AS proof_state,
    delivery_proof.way AS proof_way,
    delivery_proof.asks,
    delivery_proof.losses,
    delivery_proof.since,
    delivery_proof.proven_at,
    coalesce(
        CASE WHEN delivery.state = 'refused' THEN nullif(delivery.note, '') END,
        CASE WHEN delivery.state = 'waiting' THEN coalesce(job.reason_sentence, nullif(delivery_proof.note, '')) END,
        CASE WHEN delivery_proof.state <> 'proven' THEN nullif(delivery_proof.note, '') END
    ) AS why
FROM delivery
JOIN evidence ON evidence.id = delivery.evidence_id
JOIN job ON job.id = delivery.job_id
JOIN study ON study.id = job.study_id
LEFT JOIN delivery_proof ON delivery_proof.delivery_id = delivery.id
WHERE (delivery.state <> 'not-needed' OR delivery_proof.state = 'unproven')
    AND (CAST(:destination AS text) IS NULL OR delivery.destination = :destination)
    AND (
        NOT CAST(:unproven AS boolean)
        OR delivery.state IN ('waiting', 'refused')
        OR (delivery.state = 'acknowledged' AND delivery_proof.state <> 'proven')
        OR delivery_proof.state = 'unproven'
    )
ORDER BY delivery.id DESC
LIMIT :rows;
