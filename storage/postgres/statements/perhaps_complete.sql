-- Studies with instances that no revision holds, quiet for a little or waiting for long; the quietest first.
SELECT study.id AS study_id
FROM study
WHERE study.parked_at IS NULL
    AND (
        study.last_received_at <= now() - make_interval(secs => :soonest)
        OR study.unsettled_since <= now() - make_interval(secs => :longest_wait)
    )
    AND EXISTS (
        SELECT FROM instance
        WHERE instance.study_id = study.id AND instance.revision IS NULL AND instance.excluded_rule IS NULL
    )
ORDER BY study.last_received_at;
