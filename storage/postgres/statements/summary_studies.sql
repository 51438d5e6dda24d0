-- The studies of the last days in one pass: how many stand in which state, and the newest that an operator should look
-- at, because they failed, are held back, or are late at a destination.
WITH recent AS MATERIALIZED (
    SELECT study_instance_uid, state, error, last_received_at
    FROM study_overview
    WHERE last_received_at > now() - make_interval(days => :days)
), counted AS (
    SELECT state, count(*) AS studies FROM recent GROUP BY state
), troubled AS (
    SELECT
        *,
        ( -- whose reason it is; several may have the same
            SELECT string_agg(DISTINCT coalesce(algorithm.name || ' ' || algorithm.version, job.destination), ', ')
            FROM study
            JOIN job ON job.study_id = study.id AND job.reason_sentence = recent.error
            LEFT JOIN algorithm ON algorithm.id = job.algorithm_id
            WHERE study.study_instance_uid = recent.study_instance_uid AND NOT job.shadow
        ) AS what
    FROM recent
    WHERE state IN ('failed', 'parked') OR (state = 'delivering' AND error <> '')
    ORDER BY last_received_at DESC, study_instance_uid
    LIMIT :rows
)
SELECT
    (SELECT coalesce(jsonb_object_agg(state, studies), '{}') FROM counted) AS studies,
    (
        SELECT coalesce(jsonb_agg(to_jsonb(troubled) ORDER BY last_received_at DESC, study_instance_uid), '[]')
        FROM troubled
    ) AS trouble;
