-- Objects that destinations acknowledged and that are not proven to be there; what was given up counts for some days.
SELECT
    destination,
    count(*) AS objects,
    count(*) FILTER (WHERE state = 'lost') AS lost,
    count(*) FILTER (WHERE state = 'unproven') AS given_up,
    extract(epoch FROM now() - min(since))::float8 AS oldest_seconds,
    (array_agg(note ORDER BY since DESC, delivery_id DESC) FILTER (WHERE state = 'unproven'))[1] AS error,
    max(since) FILTER (WHERE state = 'unproven') AS last_at
FROM delivery_proof
WHERE state <> 'proven' AND (state <> 'unproven' OR since > now() - make_interval(days => :days))
GROUP BY destination
ORDER BY destination;
