-- The series of a study with how many of their instances count, are set aside by a rule, or still wait.
SELECT
    series.series_instance_uid,
    series.modality,
    series.body_part_examined,
    series.series_number,
    count(*) FILTER (WHERE instance.excluded_rule IS NULL) AS instances,
    count(*) FILTER (WHERE instance.excluded_rule IS NOT NULL) AS excluded,
    count(*) FILTER (WHERE instance.excluded_rule IS NULL AND instance.revision IS NULL) AS unsettled
FROM series
JOIN study ON study.id = series.study_id
JOIN instance ON instance.series_id = series.id
WHERE study.study_instance_uid = :study_instance_uid
GROUP BY series.id
ORDER BY series.series_number, series.series_instance_uid;
