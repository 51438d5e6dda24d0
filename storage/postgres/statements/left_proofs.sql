-- Proofs that would stay open for ever: nobody is to ask there, or what was lost is not being sent again any more.
SELECT delivery_proof.delivery_id
FROM delivery_proof
JOIN delivery ON delivery.id = delivery_proof.delivery_id
JOIN job ON job.id = delivery.job_id
WHERE delivery_proof.state <> 'proven'
    AND delivery_proof.delivery_id > :after
    AND (
        (delivery_proof.state IN ('owed', 'asked') AND delivery_proof.destination <> ALL (CAST(:proving AS text [])))
        OR (delivery_proof.state = 'lost' AND job.state IN ('completed', 'failed', 'canceled'))
    )
ORDER BY delivery_proof.delivery_id
LIMIT :most;
