-- Of each active algorithm that takes a modality of this study, the largest series of such a one; multi-frame images count
-- with their frames.
SELECT DISTINCT ON (algorithm.name)
    algorithm.name AS algorithm,
    algorithm.least_images AS needs,
    series.modality,
    (
        SELECT coalesce(sum(least(greatest(instance_image.number_of_frames, 1), 100000)), 0)::bigint
        FROM instance
        LEFT JOIN instance_image ON instance_image.instance_id = instance.id
        WHERE instance.series_id = series.id AND instance.excluded_rule IS NULL
    ) AS images
FROM algorithm
JOIN series ON series.study_id = :study_id AND series.modality = ANY(algorithm.modalities)
WHERE algorithm.stage = 'active' AND algorithm.least_images > 0
ORDER BY algorithm.name, images DESC, series.id;
