-- How many instances of a study these peers named, and what lacks on either side. What came and was set aside is not
-- waited for: as it is it never becomes an instance. What lacked already when the newest
-- revision was opened is no longer waited for; a result of ours that only the peer holds
-- never is.
WITH named AS (
    SELECT uid.uid, bool_or(claim.received_at > newest.stable_at) AS since
    FROM completeness_claim AS claim
    CROSS JOIN LATERAL unnest(claim.sop_instance_uids) AS uid (uid)
    CROSS JOIN (
        SELECT coalesce(max(stable_at), '-infinity') AS stable_at FROM study_revision WHERE study_id = :study_id
    ) AS newest
    WHERE claim.study_instance_uid = :study_instance_uid
        AND claim.kind = :kind
        AND claim.calling_ae_title = ANY(:calling_ae_titles)
    GROUP BY uid.uid
),
elsewhere AS (
    SELECT named.uid, EXISTS (
        SELECT FROM quarantined_object WHERE quarantined_object.sop_instance_uid = named.uid
    ) AS aside, EXISTS (
        SELECT FROM evidence WHERE evidence.sop_instance_uid = named.uid
    ) AS ours
    FROM named
    WHERE named.since
        AND NOT EXISTS (SELECT FROM instance WHERE instance.sop_instance_uid = named.uid)
)
SELECT
    (SELECT count(*) FROM named) AS named,
    (SELECT count(*) FROM elsewhere WHERE NOT aside AND NOT ours) AS absent,
    (SELECT count(*) FROM elsewhere WHERE aside AND NOT ours) AS aside,
    (SELECT count(*) FROM elsewhere WHERE ours) AS ours,
    (
        SELECT count(*) FROM instance
        WHERE instance.study_id = :study_id
            AND instance.revision IS NULL
            AND instance.excluded_rule IS NULL
            AND NOT EXISTS (SELECT FROM named WHERE named.uid = instance.sop_instance_uid)
    ) AS unnamed;
