-- One page of the instances that match, our own results among them; a key that is NULL matches everything.
WITH matching AS MATERIALIZED (
    SELECT study_object.*, count(*) OVER () AS total
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
        AND (CAST(:sop_instance_uid AS text[]) IS NULL OR study_object.sop_instance_uid = ANY(:sop_instance_uid))
        AND (CAST(:sop_class_uid AS text[]) IS NULL OR study_object.sop_class_uid = ANY(:sop_class_uid))
        AND (CAST(:instance_number AS bigint) IS NULL OR study_object.instance_number = :instance_number)
    ORDER BY
        study_object.study_id DESC, study_object.series_number, study_object.series_instance_uid,
        study_object.instance_number, study_object.sop_instance_uid
    LIMIT :limit OFFSET :offset
),
held AS ( -- once per study and not once per instance
    SELECT
        study_id,
        coalesce(array_agg(DISTINCT modality) FILTER (WHERE modality <> ''), '{}') AS modalities,
        count(DISTINCT series_instance_uid) AS series_count,
        count(*) AS study_instance_count
    FROM study_object
    WHERE study_id IN (SELECT matching.study_id FROM matching)
    GROUP BY study_id
),
held_series AS (
    SELECT study_id, series_instance_uid, count(*) AS instance_count
    FROM study_object
    WHERE study_id IN (SELECT matching.study_id FROM matching)
    GROUP BY study_id, series_instance_uid
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
    held.study_instance_count,
    held_series.instance_count
FROM matching
JOIN study ON study.id = matching.study_id
JOIN held ON held.study_id = matching.study_id
JOIN held_series ON held_series.study_id = matching.study_id
    AND held_series.series_instance_uid = matching.series_instance_uid
ORDER BY
    matching.study_id DESC, matching.series_number, matching.series_instance_uid, matching.instance_number,
    matching.sop_instance_uid;
