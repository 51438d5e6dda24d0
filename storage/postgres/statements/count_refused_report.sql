-- Count a report that was not believed; a row comes back where it is to be told now, with how many that tells.
WITH counted AS (
    INSERT INTO refused_report AS known (remote_address, why, calling_ae_title, destination, objects, untold)
    VALUES (:remote_address, :why, :calling_ae_title, :destination, :objects, 0)
    ON CONFLICT (remote_address, why) DO UPDATE SET
        calling_ae_title = excluded.calling_ae_title,
        destination = excluded.destination,
        objects = excluded.objects,
        untold = CASE WHEN known.told_at < now() - interval '1 hour' THEN 0 ELSE known.untold + 1 END,
        told = CASE WHEN known.told_at < now() - interval '1 hour' THEN known.untold + 1 ELSE known.told END,
        told_at = CASE WHEN known.told_at < now() - interval '1 hour' THEN now() ELSE known.told_at END
    RETURNING remote_address, why, calling_ae_title, destination, objects, untold, told
)
SELECT remote_address, why, calling_ae_title, destination, objects, told FROM counted WHERE untold = 0;
