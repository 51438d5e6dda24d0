-- Lock the objects of a question with what is needed to settle and to audit them.
SELECT
    delivery_proof.delivery_id,
    delivery_proof.destination,
    delivery_proof.way,
    delivery_proof.state,
    delivery_proof.request_uid,
    delivery_proof.since,
    delivery_proof.asks,
    delivery_proof.absences,
    delivery_proof.losses,
    delivery_proof.reason,
    delivery_proof.note,
    extract(epoch FROM now() - delivery_proof.since)::float8 AS age_seconds,
    evidence.sop_instance_uid,
    delivery.job_id,
    delivery.state AS delivery_state,
    delivery.acknowledged_at,
    delivery.note AS delivery_note,
    job.state AS job_state,
    coalesce(job.reason_sentence, '') AS job_reason,
    study.study_instance_uid
FROM delivery_proof
JOIN delivery ON delivery.id = delivery_proof.delivery_id
JOIN evidence ON evidence.id = delivery.evidence_id
JOIN job ON job.id = delivery.job_id
JOIN study ON study.id = job.study_id
WHERE delivery_proof.delivery_id = ANY (:delivery_ids)
ORDER BY delivery_proof.delivery_id
FOR UPDATE OF delivery_proof;
