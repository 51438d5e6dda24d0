-- What the result of a job may follow, newest first: what the same algorithm made of earlier revisions and was there when
-- the job was first claimed, so that a later attempt is told the same. Of those that looked at the same images the newest
-- of this version, and of others, is enough.
WITH earlier AS (
    SELECT
        result.id AS result_id,
        earlier_job.revision,
        earlier_job.started_at,
        earlier_algorithm.id = algorithm.id AS same_version,
        (
            SELECT count(*) FROM result_input WHERE result_input.result_id = result.id
        ) AS inputs,
        (
            SELECT encode(sha256(convert_to(string_agg(
                instance.sop_instance_uid, E'\n' ORDER BY instance.sop_instance_uid COLLATE "C"
            ), 'UTF8')), 'hex')
            FROM result_input
            JOIN instance ON instance.id = result_input.instance_id
            WHERE result_input.result_id = result.id
        ) AS inputs_sha256
    FROM job
    JOIN algorithm ON algorithm.id = job.algorithm_id
    JOIN job AS earlier_job ON earlier_job.study_id = job.study_id AND earlier_job.revision < job.revision
    JOIN algorithm AS earlier_algorithm
        ON earlier_algorithm.id = earlier_job.algorithm_id AND earlier_algorithm.name = algorithm.name
    JOIN result ON result.job_id = earlier_job.id AND result.stored_at < job.started_at
    WHERE job.id = :job_id AND NOT job.shadow AND NOT earlier_job.shadow AND earlier_job.outcome = 'analysed'
),
newest AS (
    SELECT DISTINCT ON (inputs_sha256, same_version) * FROM earlier
    ORDER BY inputs_sha256, same_version, revision DESC, result_id DESC
)
SELECT
    newest.*,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'form', evidence.form,
            'sop_class_uid', evidence.sop_class_uid,
            'sop_instance_uid', evidence.sop_instance_uid,
            'series_instance_uid', evidence.series_instance_uid
        ) ORDER BY evidence.id), '[]'::jsonb)
        FROM evidence
        WHERE evidence.result_id = newest.result_id AND evidence.role = 'report'
    ) AS reports,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'sop_class_uid', acknowledged.sop_class_uid,
            'sop_instance_uid', acknowledged.sop_instance_uid,
            'series_instance_uid', acknowledged.series_instance_uid,
            'destinations', acknowledged.destinations
        ) ORDER BY acknowledged.id), '[]'::jsonb)
        FROM (
            SELECT evidence.*, array_agg(delivery.destination ORDER BY delivery.destination) AS destinations
            FROM evidence
            JOIN delivery ON delivery.evidence_id = evidence.id AND delivery.state = 'acknowledged'
            WHERE evidence.result_id = newest.result_id AND evidence.role <> 'rejection-note'
            GROUP BY evidence.id
        ) AS acknowledged
    ) AS sent
FROM newest
ORDER BY newest.revision DESC, newest.result_id DESC;
