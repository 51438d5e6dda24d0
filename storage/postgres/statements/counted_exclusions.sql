-- How many instances the audit trail says do not count, by rule, in the rows behind one and up to another.
SELECT told.key AS rule, sum(CAST(told.value AS bigint))::bigint AS instances
FROM audit_event
CROSS JOIN LATERAL jsonb_each_text(audit_event.details) AS told
WHERE audit_event.id > :after
    AND audit_event.id <= :newest
    AND audit_event.action = 'instance-stored'
    AND told.key = ANY(CAST(:rules AS text[]))
GROUP BY told.key;
