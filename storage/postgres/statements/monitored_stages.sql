-- How many seconds each stage took in the last days: the middle one, and the one that 95 of 100 stay below.
SELECT
    statistics.algorithm_id,
    statistics.scanner,
    statistics.protocol,
    stage.key AS stage,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(stage.value AS float8)) AS p50,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(stage.value AS float8)) AS p95
FROM result_statistics AS statistics
JOIN algorithm ON algorithm.id = statistics.algorithm_id
CROSS JOIN jsonb_each_text(statistics.stages) AS stage
WHERE (CAST(:algorithm AS text) IS NULL OR algorithm.name = :algorithm)
    AND statistics.stored_at > now() - make_interval(secs => CAST(:days AS float8) * 86400)
GROUP BY statistics.algorithm_id, statistics.scanner, statistics.protocol, stage.key;
