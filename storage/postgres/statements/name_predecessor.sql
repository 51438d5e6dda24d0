-- Note with a new result the one that it follows: the newest that the same algorithm made of an earlier revision from other
-- images, if it was there when this job was first claimed. What a job was given then does not change with a later attempt.
WITH earlier AS (
    SELECT result.id
    FROM job
    JOIN algorithm ON algorithm.id = job.algorithm_id
    JOIN job AS earlier_job ON earlier_job.study_id = job.study_id AND earlier_job.revision < job.revision
    JOIN algorithm AS earlier_algorithm
        ON earlier_algorithm.id = earlier_job.algorithm_id AND earlier_algorithm.name = algorithm.name
    JOIN result ON result.job_id = earlier_job.id AND result.stored_at < job.started_at
    WHERE job.id = :job_id AND NOT job.shadow AND NOT earlier_job.shadow AND earlier_job.outcome = 'analysed'
        AND EXISTS ( -- from the same images come the same objects, and none follows itself
            (
                SELECT instance_id FROM result_input WHERE result_input.result_id = :result_id
                EXCEPT SELECT instance_id FROM result_input WHERE result_input.result_id = result.id
            )
            UNION ALL
            (
                SELECT instance_id FROM result_input WHERE result_input.result_id = result.id
                EXCEPT SELECT instance_id FROM result_input WHERE result_input.result_id = :result_id
            )
        )
    ORDER BY earlier_job.revision DESC, result.id DESC
    LIMIT 1
)
UPDATE result SET predecessor_id = earlier.id FROM earlier WHERE result.id = :result_id;
