-- By which ways the instances of a revision came: who called us by which name from where, and what each series says.
SELECT DISTINCT
    association.called_ae_title,
    association.calling_ae_title,
    association.remote_address,
    association.account,
    series.modality,
    series.body_part_examined,
    series.series_description,
    series_attributes.study_description,
    series_attributes.protocol_name,
    series_attributes.requested_procedure_description,
    series_attributes.requested_procedure_priority,
    series_attributes.institution_name,
    series_attributes.institutional_department_name,
    series_attributes.station_name,
    series_attributes.manufacturer,
    series_attributes.manufacturer_model_name
FROM (
    SELECT DISTINCT association_id, series_id
    FROM instance
    WHERE study_id = :study_id AND revision <= :revision
) AS brought
JOIN association USING (association_id)
JOIN series ON series.id = brought.series_id
LEFT JOIN series_attributes ON series_attributes.series_id = series.id; -- none of an earlier release's series
