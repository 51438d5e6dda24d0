-- What is held goes out once a destination has all reports of the result that it is to have, or where none is to have any.
-- What has been held for long, as in an outage of the PACS, is looked at in turn: in each second one part of thirty.
UPDATE notification
SET state = 'waiting', owed_since = now(), due_at = now()
FROM (
    SELECT held.id
    FROM notification AS held
    CROSS JOIN LATERAL (
        SELECT bool_or(place.has_all) AS has_all
        FROM (
            SELECT
                bool_or(delivery.state = 'acknowledged')
                AND coalesce(
                    bool_and(delivery.state IN ('acknowledged', 'not-needed')) FILTER (WHERE evidence.role = 'report'),
                    true
                ) AS has_all
            FROM evidence
            JOIN delivery ON delivery.evidence_id = evidence.id
            WHERE evidence.result_id = held.result_id
                AND (CAST(:report_at AS text) = '' OR delivery.destination = CAST(:report_at AS text))
            GROUP BY delivery.destination
        ) AS place
    ) AS report
    WHERE held.receiver = :receiver AND held.state = 'held'
        AND (
            held.noted_at > now() - interval '1 minute'
            OR held.id % 30 = CAST(floor(extract(epoch FROM now())) AS bigint) % 30
        )
        AND (NOT CAST(:held AS boolean) OR coalesce(report.has_all, true))
) AS released
WHERE notification.id = released.id AND notification.state = 'held';
