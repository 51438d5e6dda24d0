-- The workitems about a study, oldest first; those that ended long ago are gone.
SELECT
    workitem.sop_instance_uid,
    workitem.state,
    workitem.priority,
    array_to_string(workitem.algorithms, ', ') AS algorithms,
    workitem.created_by,
    workitem.created_at,
    workitem.ended_at,
    workitem.attributes #>> '{00741002,Value,0,00741238,Value,0}' AS reason
FROM workitem
WHERE workitem.study_instance_uid = :study_instance_uid
ORDER BY workitem.id;
