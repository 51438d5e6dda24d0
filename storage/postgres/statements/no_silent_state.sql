-- Every acknowledged instance that nothing accounts for; it must return no row. The view says what accounts for one.
SELECT sop_instance_uid, study_instance_uid, revision, received_at
FROM unaccounted_instance
ORDER BY id;
