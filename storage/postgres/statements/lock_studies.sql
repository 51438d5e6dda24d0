-- Hold these studies while their instances are written, so that none becomes stable with half of them.
SELECT id, study_instance_uid, patient_id, issuer_of_patient_id, parked_at IS NOT NULL AS parked, instance_count, byte_count
FROM study
WHERE study_instance_uid = ANY(:study_instance_uids)
ORDER BY study_instance_uid
FOR UPDATE;
