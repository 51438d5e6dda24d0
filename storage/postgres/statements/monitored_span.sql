-- How many results an algorithm has of a time.
SELECT count(*) AS results
FROM result_statistics
WHERE algorithm_id = :algorithm_id AND stored_at >= :from_at AND stored_at < :to_at;
