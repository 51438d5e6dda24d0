-- Whether this result is of an earlier revision of the job's study: the process that chose it ran models of strangers.
SELECT EXISTS (
    SELECT
    FROM job
    JOIN job AS earlier_job ON earlier_job.study_id = job.study_id AND earlier_job.revision < job.revision
    JOIN result ON result.job_id = earlier_job.id
    WHERE job.id = :job_id AND result.id = :predecessor_id
);
