-- Take the message to one receiver that is due longest, also from a process that died with it in hand.
WITH due AS MATERIALIZED (
    SELECT notification.id
    FROM notification
    JOIN notification_receiver AS receiver ON receiver.name = notification.receiver
    WHERE notification.receiver = :receiver AND notification.state IN ('waiting', 'sending')
        AND notification.due_at <= now() AND receiver.hold_until <= now() AND receiver.removed_at IS NULL
    ORDER BY notification.due_at, notification.id
    LIMIT 1
    FOR UPDATE OF notification SKIP LOCKED
)
UPDATE notification
SET state = 'sending',
    claim_uid = gen_random_uuid(),
    tries = notification.tries + 1,
    due_at = now() + make_interval(secs => :patience_seconds)
FROM due
WHERE notification.id = due.id
RETURNING
    notification.id AS notification_id,
    notification.result_id,
    CAST(notification.claim_uid AS text) AS claim_uid,
    CAST(notification.message_uid AS text) AS message_uid,
    notification.body,
    notification.tries,
    notification.noted_at,
    now() AS now;
