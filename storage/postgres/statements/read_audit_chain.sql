-- Every audit row with its hashes and its canonical text. No function of the schema is called: whoever owns the
-- tables could have replaced it.
SELECT
    id,
    prev_hash,
    row_hash,
    jsonb_build_array(
        id, (extract(epoch FROM recorded_at) * 1000000)::bigint, action, actor, outcome, study_instance_uid, job_id,
        details
    )::text AS canonical
FROM audit_event
ORDER BY id;
