-- No result with a number up to this one can still come to sight: what stored it has ended long ago.
UPDATE notification_receiver
SET looked_to = decided.result_id
FROM (
    SELECT max(result.id) AS result_id
    FROM result, notification_receiver AS receiver
    WHERE receiver.name = :receiver AND result.id > receiver.looked_to
        AND result.stored_at < now() - interval '10 minutes'
) AS decided
WHERE notification_receiver.name = :receiver AND decided.result_id > notification_receiver.looked_to;
