-- One page of the series that match, our own results among them; a key that is NULL matches everything.
WITH matching AS (
    SELECT
        study.id AS study_id,
        study_object.series_instance_uid,
        min(study_object.modality) AS modality,
        min(study_object.body_part_examined) AS body_part_examined,
        min(study_object.series_description) AS series_description,
        min(study_object.series_number) AS series_number,
        count(*) AS instance_count,
        min(study_object.sop_instance_uid) AS example_uid,
        count(*) OVER () AS total
    FROM study
    JOIN study_object ON study_object.study_id = study.id
    WHERE (CAST(:study_instance_uid AS text[]) IS NULL OR study.study_instance_uid = ANY(:study_instance_uid))
        AND (CAST(:patient_id AS text) IS NULL OR study.patient_id LIKE :patient_id)
        AND (CAST(:issuer_of_patient_id AS text) IS NULL OR study.issuer_of_patient_id LIKE :issuer_of_patient_id)
        AND (CAST(:accession_number AS text) IS NULL OR study.accession_number LIKE :accession_number)
        AND (CAST(:study_date_from AS date) IS NULL OR study.study_date >= :study_date_from)
        AND (CAST(:study_date_to AS date) IS NULL OR study.study_date <= :study_date_to)
        AND (CAST(:modalities_in_study AS text) IS NULL OR EXISTS (
            SELECT FROM study_object AS sister
            WHERE sister.study_id = study.id AND sister.modality LIKE :modalities_in_study
        ))
        AND (CAST(:series_instance_uid AS text[]) IS NULL
            OR study_object.series_instance_uid = ANY(:series_instance_uid))
        AND (CAST(:modality AS text) IS NULL OR study_object.modality LIKE :modality)
        AND (CAST(:body_part_examined AS text) IS NULL OR study_object.body_part_examined LIKE :body_part_examined)
        AND (CAST(:series_description AS text) IS NULL OR study_object.series_description LIKE :series_description)
        AND (CAST(:series_number AS bigint) IS NULL OR study_object.series_number = :series_number)
    GROUP BY study.id, study_object.series_instance_uid
    ORDER BY study.id DESC, min(study_object.series_number), study_object.series_instance_uid
    LIMIT :limit OFFSET :offset
)
SELECT
    study.study_instance_uid,
    study.patient_id,
    study.issuer_of_patient_id,
    study.accession_number,
    study.study_date,
    matching.*,
    held.modalities,
    held.series_count,
    held.instance_count AS study_instance_count,
    study_object.origin,
    study_object.sha256
FROM matching
JOIN study ON study.id = matching.study_id
JOIN study_object ON study_object.study_id = study.id AND study_object.sop_instance_uid = matching.example_uid
CROSS JOIN LATERAL (
    SELECT
        coalesce(array_agg(DISTINCT modality) FILTER (WHERE modality <> ''), '{}') AS modalities,
        count(DISTINCT series_instance_uid) AS series_count,
        count(*) AS instance_count
    FROM study_object
    WHERE study_object.study_id = matching.study_id
) AS held
ORDER BY matching.study_id DESC, matching.series_number, matching.series_instance_uid;
