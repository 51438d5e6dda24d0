-- What is kept of one job.
SELECT
    job.id,
    algorithm.name,
    algorithm.version,
    result.artifact_sha256,
    result.execution_provider,
    statistics.scanner,
    statistics.protocol,
    statistics.acquisition,
    statistics."values",
    statistics.scores,
    statistics.stages,
    statistics.stored_at
FROM job
JOIN algorithm ON algorithm.id = job.algorithm_id
LEFT JOIN result ON result.job_id = job.id
LEFT JOIN result_statistics AS statistics ON statistics.result_id = result.id
WHERE job.id = :job_id AND job.kind = 'inference';
