-- What a destination acknowledged and nobody asks about: it was given up, or its proof was not wanted then.
SELECT delivery.id
FROM delivery
LEFT JOIN delivery_proof ON delivery_proof.delivery_id = delivery.id
WHERE delivery.destination = :destination
    AND delivery.id > :after
    AND delivery.state = 'acknowledged'
    AND (delivery_proof.delivery_id IS NULL OR delivery_proof.state = 'unproven')
ORDER BY delivery.id
LIMIT :most;
