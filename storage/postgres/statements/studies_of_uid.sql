-- The studies that a Study, Series or SOP Instance UID belongs to, those of our own evidence included.
SELECT study.id, study.study_instance_uid, 'study' AS level
FROM study
WHERE study.study_instance_uid = :uid
UNION
SELECT study.id, study.study_instance_uid, 'series'
FROM series
JOIN study ON study.id = series.study_id
WHERE series.series_instance_uid = :uid
UNION
SELECT study.id, study.study_instance_uid, 'instance'
FROM instance
JOIN study ON study.id = instance.study_id
WHERE instance.sop_instance_uid = :uid
UNION
SELECT study.id, study.study_instance_uid, 'evidence'
FROM evidence
JOIN result ON result.id = evidence.result_id
JOIN job ON job.id = result.job_id
JOIN study ON study.id = job.study_id
WHERE evidence.sop_instance_uid = :uid OR evidence.series_instance_uid = :uid
ORDER BY id;
