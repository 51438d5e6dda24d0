-- The workitems of ours that are worth a look: what is under way, what may begin, and what has waited for too long.
SELECT workitem.id
FROM workitem
LEFT JOIN study ON study.study_instance_uid = workitem.study_instance_uid
WHERE workitem.ended_at IS NULL AND cardinality(workitem.algorithms) > 0
    AND CASE workitem.state
        WHEN 'SCHEDULED' THEN
            study.parked_at IS NOT NULL
            OR (
                study.revision > 0 AND study.unsettled_since IS NULL
                AND workitem.attributes #>> '{00404041,Value,0}' = 'READY'
            )
            OR workitem.created_at < now() - make_interval(secs => :wait_seconds)
        ELSE EXISTS (SELECT FROM workitem_job WHERE workitem_job.workitem_id = workitem.id)
    END
ORDER BY workitem.id;
