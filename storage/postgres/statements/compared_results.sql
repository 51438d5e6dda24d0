-- The studies that two versions of an algorithm have both been through, each with the newest job of either on one revision.
WITH ended AS (
    SELECT DISTINCT ON (job.study_id, job.revision, job.algorithm_id)
        job.id AS job_id,
        job.study_id,
        job.revision,
        job.algorithm_id,
        coalesce(job.outcome, job.state) AS outcome,
        result.findings,
        statistics.acquisition,
        statistics.scanner,
        statistics.protocol,
        statistics.scores,
        statistics.stages
    FROM job
    LEFT JOIN result ON result.job_id = job.id AND job.outcome = 'analysed'
    LEFT JOIN result_statistics AS statistics ON statistics.result_id = result.id
    WHERE job.kind = 'inference' AND job.state IN ('completed', 'failed')
        AND job.algorithm_id IN (:active_id, :shadow_id)
    ORDER BY job.study_id, job.revision, job.algorithm_id, job.id DESC
)

SELECT
    study.study_instance_uid,
    active.job_id AS active_job_id,
    shadow.job_id AS shadow_job_id,
    active.outcome AS active_outcome,
    shadow.outcome AS shadow_outcome,
    active.findings AS active_findings,
    shadow.findings AS shadow_findings,
    active.scores AS active_scores,
    shadow.scores AS shadow_scores,
    active.stages AS active_stages,
    shadow.stages AS shadow_stages,
    coalesce(active.acquisition, shadow.acquisition) ->> 'modality' AS modality,
    coalesce(active.scanner, shadow.scanner) AS scanner,
    coalesce(active.protocol, shadow.protocol) AS protocol
FROM ended AS active
JOIN ended AS shadow ON shadow.study_id = active.study_id AND shadow.revision = active.revision
JOIN study ON study.id = active.study_id
WHERE active.algorithm_id = :active_id AND shadow.algorithm_id = :shadow_id
ORDER BY active.job_id;
