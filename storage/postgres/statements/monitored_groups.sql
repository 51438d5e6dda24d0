-- What each algorithm has done in the last days, by scanner and protocol of its results.
SELECT
    algorithm.id AS algorithm_id,
    algorithm.name,
    algorithm.version,
    algorithm.stage,
    statistics.scanner,
    statistics.protocol,
    count(*) AS results,
    max(statistics.stored_at) AS last_seen_at,
    array_agg(DISTINCT result.execution_provider) AS execution_providers
FROM result_statistics AS statistics
JOIN result ON result.id = statistics.result_id
JOIN algorithm ON algorithm.id = statistics.algorithm_id
WHERE (CAST(:algorithm AS text) IS NULL OR algorithm.name = :algorithm)
    AND statistics.stored_at > now() - make_interval(secs => CAST(:days AS float8) * 86400)
GROUP BY algorithm.id, statistics.scanner, statistics.protocol
ORDER BY algorithm.name, algorithm.id DESC, statistics.scanner, statistics.protocol;
