-- Messages that no receiver has taken, by receiver and state; what nobody tries any more counts for some days.
SELECT
    receiver,
    state,
    count(*) AS messages,
    extract(epoch FROM now() - min(owed_since))::float8 AS oldest_seconds,
    (array_agg(reason_sentence ORDER BY noted_at DESC, id DESC) FILTER (WHERE reason_sentence IS NOT NULL))[1] AS error,
    max(noted_at) AS last_at
FROM notification
WHERE state <> 'delivered' AND (state NOT IN ('refused', 'given-up') OR noted_at > now() - make_interval(days => :days))
GROUP BY receiver, state
ORDER BY receiver, state;
