-- Studies of a cohort whose job has ended, and how.
SELECT member.study_instance_uid, job.state, job.outcome, job.reason_code, job.reason_sentence
FROM cohort_member AS member
JOIN job ON job.id = member.job_id
WHERE member.cohort_id = :cohort_id AND member.state = 'analysing' AND job.state IN ('completed', 'failed', 'canceled');
