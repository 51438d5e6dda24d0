-- Owe one receiver a message for each result that was stored since it is told and that nobody decided about yet.
-- Results get their numbers before they can be seen, so the last minutes are looked at again and again.
INSERT INTO notification (receiver, result_id, state)
SELECT receiver.name, result.id, 'held'
FROM notification_receiver AS receiver
JOIN result ON result.id > receiver.looked_to AND result.stored_at >= receiver.since
JOIN job ON job.id = result.job_id
JOIN algorithm ON algorithm.id = job.algorithm_id
WHERE receiver.name = :receiver AND receiver.removed_at IS NULL
    AND job.outcome = 'analysed' AND NOT job.shadow
    AND (cardinality(CAST(:algorithms AS text[])) = 0 OR algorithm.name = ANY (CAST(:algorithms AS text[])))
    AND (NOT CAST(:findings_only AS boolean) OR EXISTS (
        SELECT FROM jsonb_array_elements(result.findings) AS finding (facts)
        WHERE coalesce(CAST(finding.facts -> 'classification' ->> 'present' AS boolean), true)
    ))
    AND NOT EXISTS (
        SELECT FROM notification
        WHERE notification.receiver = receiver.name AND notification.result_id = result.id
    )
ORDER BY result.id
ON CONFLICT (receiver, result_id) DO NOTHING -- another process notes the same
RETURNING id;
