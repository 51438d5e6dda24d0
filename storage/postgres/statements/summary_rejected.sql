-- Who was turned away in the last days, each sender once with its newest reason. A flood of refusals costs no more than
-- its newest thousand.
WITH newest AS (
    SELECT calling_ae_title, called_ae_title, remote_address, started_at, reason
    FROM association
    WHERE ending = 'rejected' AND started_at > now() - make_interval(days => :days)
    ORDER BY started_at DESC
    LIMIT 1000
)
SELECT
    calling_ae_title,
    called_ae_title,
    remote_address,
    count(*) AS times,
    max(started_at) AS last_at,
    (array_agg(reason ORDER BY started_at DESC))[1] AS reason
FROM newest
GROUP BY calling_ae_title, called_ae_title, remote_address
ORDER BY last_at DESC, remote_address
LIMIT :rows;
