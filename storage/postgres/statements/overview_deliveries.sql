-- Every evidence object on its way to a destination; the job says when the next try is and why it is not there yet.
SELECT
    study.study_instance_uid,
    delivery.destination,
    evidence.sop_instance_uid,
    evidence.role,
    evidence.form,
    evidence.result_id,
    algorithm.name || ' ' || algorithm.version AS algorithm, -- that made it, or came to no result
    maker.outcome IS NOT DISTINCT FROM 'analysed' AS analysed, -- else it tells why there is no result
    delivery.state,
    CASE
        WHEN delivery.state = 'refused' THEN nullif(delivery.note, '')
        WHEN delivery.state = 'waiting' THEN coalesce(job.reason_sentence, nullif(delivery.note, ''))
    END AS error,
    delivery.attempts,
    delivery.status,
    delivery.note,
    delivery.acknowledged_at,
    delivery_proof.state AS proof_state, -- null where nothing is to prove the arrival
    delivery_proof.way AS proof_way,
    delivery_proof.asks AS proof_asks,
    delivery_proof.losses,
    delivery_proof.note AS proof_note,
    delivery_proof.proven_at,
    delivery.job_id,
    job.state AS job_state,
    job.due_at
FROM delivery
JOIN evidence ON evidence.id = delivery.evidence_id
JOIN result ON result.id = evidence.result_id
JOIN job AS maker ON maker.id = result.job_id
JOIN algorithm ON algorithm.id = maker.algorithm_id
JOIN job ON job.id = delivery.job_id
JOIN study ON study.id = job.study_id
LEFT JOIN delivery_proof ON delivery_proof.delivery_id = delivery.id
WHERE CAST(:study_instance_uid AS text) IS NULL OR study.study_instance_uid = :study_instance_uid
ORDER BY delivery.id;
