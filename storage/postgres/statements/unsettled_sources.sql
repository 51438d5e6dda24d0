-- Who sent the instances of a study that count and that no revision holds, and how many.
SELECT
    CASE WHEN association.door = 'web' THEN association.account ELSE association.calling_ae_title END AS name,
    association.door = 'web' AS web,
    count(*) AS instances
FROM instance
JOIN association ON association.association_id = instance.association_id
WHERE instance.study_id = :study_id AND instance.revision IS NULL AND instance.excluded_rule IS NULL
GROUP BY 1, 2
ORDER BY 2, 1;
