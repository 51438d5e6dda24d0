-- Give the holder of the token another lease period; no row comes back when the lease was taken.
UPDATE job
SET lease_expires_at = now() + make_interval(secs => :lease_seconds)
WHERE id = :job_id AND lease_token = CAST(:lease_token AS uuid) AND state = 'in_progress'
RETURNING id;
