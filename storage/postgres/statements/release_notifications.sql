-- What is held goes out once a destination has all reports of the result that it is to have, or where none is to have any.
UPDATE notification
SET state = 'waiting', owed_since = now(), due_at = now()
WHERE receiver = :receiver AND state = 'held' AND (
    NOT CAST(:held AS boolean)
    OR EXISTS (
        SELECT FROM delivery
        JOIN evidence ON evidence.id = delivery.evidence_id
        WHERE evidence.result_id = notification.result_id
            AND (CAST(:report_at AS text) = '' OR delivery.destination = CAST(:report_at AS text))
        GROUP BY delivery.destination
        HAVING bool_or(delivery.state = 'acknowledged')
            AND coalesce(
                bool_and(delivery.state IN ('acknowledged', 'not-needed')) FILTER (WHERE evidence.role = 'report'), true
            )
    )
    OR NOT EXISTS (
        SELECT FROM delivery
        JOIN evidence ON evidence.id = delivery.evidence_id
        WHERE evidence.result_id = notification.result_id
            AND (CAST(:report_at AS text) = '' OR delivery.destination = CAST(:report_at AS text))
    )
);
