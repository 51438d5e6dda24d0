-- What the audit trail tells of trouble, in the rows behind one and up to another.
SELECT
    audit_event.action,
    audit_event.actor = 'housekeeper' AS of_silence,
    coalesce(audit_event.details ->> 'kind', '') AS kind,
    coalesce(audit_event.details ->> 'reason', '') AS reason,
    coalesce(job.shadow, false) AS shadow,
    count(*) AS events
FROM audit_event
LEFT JOIN job ON job.id = audit_event.job_id
WHERE audit_event.id > :after
    AND audit_event.id <= :newest
    AND audit_event.action IN ('job-retried', 'job-failed', 'study-parked', 'instance-quarantined', 'delivery-lost')
GROUP BY 1, 2, 3, 4, 5;
