-- Who brought the first instance of a revision: the calling AE title, or the account that came by the web.
SELECT CASE association.door WHEN 'web' THEN association.account ELSE btrim(association.calling_ae_title) END
FROM instance
JOIN association USING (association_id)
WHERE instance.study_id = :study_id AND instance.revision = :revision
ORDER BY instance.received_at, instance.id
LIMIT 1;
