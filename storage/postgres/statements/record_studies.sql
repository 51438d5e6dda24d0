-- Make rows for studies that are not known yet; a known study keeps what its first instance said.
INSERT INTO study (study_instance_uid, patient_id, issuer_of_patient_id, accession_number, study_date)
SELECT study_instance_uid, patient_id, issuer_of_patient_id, accession_number, study_date
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS arrived (
    study_instance_uid text, patient_id text, issuer_of_patient_id text, accession_number text, study_date date
)
ORDER BY study_instance_uid -- the same order in every process, so that two of them cannot block each other
ON CONFLICT (study_instance_uid) DO NOTHING;
