-- What series say of themselves; one that has its row keeps what its first instance said.
INSERT INTO series_attributes (
    series_id, manufacturer, institution_name, station_name, study_description, institutional_department_name,
    manufacturer_model_name, protocol_name, requested_procedure_description, requested_procedure_priority
)
SELECT
    series.id, manufacturer, institution_name, station_name, study_description, institutional_department_name,
    manufacturer_model_name, protocol_name, requested_procedure_description, requested_procedure_priority
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS arrived (
    study_id bigint, series_instance_uid text, manufacturer text, institution_name text, station_name text,
    study_description text, institutional_department_name text, manufacturer_model_name text, protocol_name text,
    requested_procedure_description text, requested_procedure_priority text
)
JOIN series ON series.study_id = arrived.study_id AND series.series_instance_uid = arrived.series_instance_uid
ON CONFLICT (series_id) DO NOTHING;
