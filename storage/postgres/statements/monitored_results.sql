-- Of one algorithm, the results of the baseline and of the window, by scanner and protocol. The baseline is the results
-- stored between two times, or else the first ones of each group; the window is the newest of those that came after it.
-- A job that was done again speaks through its successor, so that no study counts twice.
WITH counted AS (
    SELECT
        statistics.*,
        row_number() OVER (PARTITION BY statistics.scanner, statistics.protocol ORDER BY statistics.result_id) AS place
    FROM result_statistics AS statistics
    JOIN result ON result.id = statistics.result_id
    WHERE statistics.algorithm_id = :algorithm_id
        AND NOT EXISTS (SELECT FROM job AS successor WHERE successor.predecessor_id = result.job_id)
),

parted AS (
    SELECT
        counted.*,
        CASE
            WHEN CAST(:from_at AS timestamptz) IS NULL THEN counted.place <= :baseline_results
            ELSE counted.stored_at >= :from_at AND counted.stored_at < :to_at
        END AS in_baseline,
        CASE
            WHEN CAST(:from_at AS timestamptz) IS NULL THEN counted.place > :baseline_results
            ELSE counted.stored_at >= :to_at
        END AS is_after
    FROM counted
),

ranked AS (
    SELECT
        parted.*,
        row_number() OVER (
            PARTITION BY parted.scanner, parted.protocol, parted.in_baseline, parted.is_after
            ORDER BY parted.result_id DESC
        ) AS newest
    FROM parted
)

SELECT scanner, protocol, in_baseline, acquisition, "values", scores, stored_at
FROM ranked
WHERE (in_baseline AND newest <= :most_baseline)
    OR (
        is_after AND newest <= :window_results
        AND stored_at > now() - make_interval(secs => CAST(:window_days AS float8) * 86400)
    )
ORDER BY scanner, protocol, result_id;
