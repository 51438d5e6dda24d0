-- Every acknowledged instance that nothing accounts for. It must return no row: an instance is waiting, held by a
-- worker, behind a result that is delivered or owed, parked, failed, canceled or not analysed with a reason, or
-- excluded by a named rule.
SELECT
    instance.sop_instance_uid,
    study.study_instance_uid,
    instance.revision,
    instance.received_at
FROM instance
JOIN study ON study.id = instance.study_id
WHERE instance.excluded_rule IS NULL -- excluded by a named rule
    AND study.parked_code IS NULL -- parked with a reason
    AND instance.revision IS NOT NULL -- still receiving: the housekeeper settles it once it is quiet
    AND NOT EXISTS ( -- not analysed at all, with a reason
        SELECT FROM study_revision
        WHERE study_revision.study_id = instance.study_id
            AND study_revision.revision >= instance.revision
            AND study_revision.reason_code IS NOT NULL
    )
    AND NOT EXISTS ( -- a job on a revision that holds the instance
        SELECT FROM job
        LEFT JOIN result ON result.job_id = job.id
        WHERE job.study_id = instance.study_id
            AND job.kind = 'inference'
            AND job.revision >= instance.revision
            AND (
                job.state = 'scheduled' -- waiting
                OR (job.state = 'in_progress' AND job.lease_token IS NOT NULL) -- claimed
                OR (job.state IN ('failed', 'canceled') AND job.reason_code IS NOT NULL)
                OR (job.outcome = 'not-analysed' AND job.reason_code IS NOT NULL)
                OR (job.outcome = 'analysed' AND result.id IS NOT NULL AND NOT EXISTS (
                    -- an evidence object that is waiting although its delivery says it is done
                    SELECT FROM evidence
                    JOIN delivery ON delivery.evidence_id = evidence.id
                    JOIN job AS sending ON sending.id = delivery.job_id
                    WHERE evidence.result_id = result.id
                        AND delivery.state <> 'acknowledged'
                        AND sending.state = 'completed'
                ))
            )
    )
ORDER BY instance.id;
