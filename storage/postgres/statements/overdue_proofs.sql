-- Lock what one destination was asked too long; it is asked at least once, however long we were away.
SELECT delivery_id
FROM delivery_proof
WHERE destination = :destination
    AND state IN ('owed', 'asked')
    AND due_at <= now()
    AND asks > 0
    AND since < now() - make_interval(secs => :give_up_seconds)
ORDER BY delivery_id
LIMIT :most
FOR UPDATE SKIP LOCKED;
