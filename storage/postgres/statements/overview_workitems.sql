-- Workitems, of one study or of all, newest first; those that ended long ago are gone.
SELECT
    workitem.sop_instance_uid,
    workitem.study_instance_uid,
    workitem.state,
    workitem.priority,
    array_to_string(workitem.algorithms, ', ') AS algorithms,
    workitem.created_by,
    workitem.created_at,
    workitem.claimed_at,
    workitem.ended_at,
    workitem.attributes #>> '{00741002,Value,0,00741006,Value,0}' AS progress,
    workitem.attributes #>> '{00741002,Value,0,00741238,Value,0}' AS reason
FROM workitem
WHERE (CAST(:study_instance_uid AS text) IS NULL OR workitem.study_instance_uid = :study_instance_uid)
    AND (CAST(:state AS text) IS NULL OR workitem.state = :state)
ORDER BY workitem.id DESC
LIMIT :most;
