-- What was counted and not told for an hour, which is told now.
UPDATE refused_report
SET told = untold, untold = 0, told_at = now()
WHERE untold > 0 AND told_at < now() - interval '1 hour'
RETURNING remote_address, why, calling_ae_title, destination, objects, told;
