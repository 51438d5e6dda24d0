-- One page of the studies that match, newest first, with what each holds; a key that is NULL matches everything.
WITH matching AS (
    SELECT study.*, count(*) OVER () AS total
    FROM study
    WHERE (CAST(:study_instance_uid AS text[]) IS NULL OR study.study_instance_uid = ANY(:study_instance_uid))
        AND (CAST(:patient_id AS text) IS NULL OR study.patient_id LIKE :patient_id)
        AND (CAST(:issuer_of_patient_id AS text) IS NULL OR study.issuer_of_patient_id LIKE :issuer_of_patient_id)
        AND (CAST(:accession_number AS text) IS NULL OR study.accession_number LIKE :accession_number)
        AND (CAST(:study_date_from AS date) IS NULL OR study.study_date >= :study_date_from)
        AND (CAST(:study_date_to AS date) IS NULL OR study.study_date <= :study_date_to)
        AND (CAST(:modalities_in_study AS text) IS NULL OR EXISTS (
            SELECT FROM study_object
            WHERE study_object.study_id = study.id AND study_object.modality LIKE :modalities_in_study
        ))
    ORDER BY study.last_received_at DESC, study.id DESC
    LIMIT :limit OFFSET :offset
)
SELECT
    matching.study_instance_uid,
    matching.patient_id,
    matching.issuer_of_patient_id,
    matching.accession_number,
    matching.study_date,
    matching.total,
    held.modalities,
    held.series_count,
    held.instance_count,
    example.sop_instance_uid AS example_uid
FROM matching
CROSS JOIN LATERAL (
    SELECT
        coalesce(array_agg(DISTINCT modality) FILTER (WHERE modality <> ''), '{}') AS modalities,
        count(DISTINCT series_instance_uid) AS series_count,
        count(*) AS instance_count
    FROM study_object
    WHERE study_object.study_id = matching.id
) AS held
CROSS JOIN LATERAL (
    SELECT sop_instance_uid FROM instance WHERE instance.study_id = matching.id ORDER BY instance.id LIMIT 1
) AS example
ORDER BY matching.last_received_at DESC, matching.id DESC;
