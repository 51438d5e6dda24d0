-- Note associations; one that is known and open takes its end from the note, an ended one never changes again.
INSERT INTO association (
    association_id, calling_ae_title, called_ae_title, remote_address, started_at, ended_at, ending,
    stored_count, refused_count, reason, door, account
)
SELECT
    association_id, calling_ae_title, called_ae_title, remote_address, started_at, ended_at, ending,
    stored_count, refused_count, reason, door, account
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS noted (
    association_id uuid, calling_ae_title text, called_ae_title text, remote_address text, started_at timestamptz,
    ended_at timestamptz, ending text, stored_count integer, refused_count integer, reason text,
    door text, account text
)
ORDER BY association_id -- the same order in every process, so that two of them cannot block each other
ON CONFLICT (association_id) DO UPDATE
SET ended_at = excluded.ended_at,
    ending = excluded.ending,
    stored_count = excluded.stored_count,
    refused_count = excluded.refused_count,
    reason = excluded.reason
WHERE association.ending = 'open' AND excluded.ending <> 'open'
RETURNING association_id::text AS association_id;
