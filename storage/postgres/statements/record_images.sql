-- What new instances say of their images.
INSERT INTO instance_image (
    instance_id, rows, columns, samples_per_pixel, photometric_interpretation, number_of_frames, bits_allocated,
    bits_stored, high_bit, pixel_representation, image_position_patient, image_orientation_patient, pixel_spacing,
    rescale_intercept, rescale_slope, head_length, head_sha256, pixel_offset, pixel_length
)
SELECT
    instance.id, "rows", columns, samples_per_pixel, photometric_interpretation, number_of_frames, bits_allocated,
    bits_stored, high_bit, pixel_representation, image_position_patient, image_orientation_patient, pixel_spacing,
    rescale_intercept, rescale_slope, head_length, head_sha256, pixel_offset, pixel_length
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS arrived (
    sop_instance_uid text, "rows" int, columns int, samples_per_pixel int, photometric_interpretation text,
    number_of_frames bigint, bits_allocated int, bits_stored int, high_bit int, pixel_representation int,
    image_position_patient double precision[], image_orientation_patient double precision[],
    pixel_spacing double precision[], rescale_intercept double precision, rescale_slope double precision,
    head_length bigint, head_sha256 text, pixel_offset bigint, pixel_length bigint
)
JOIN instance USING (sop_instance_uid)
ON CONFLICT (instance_id) DO NOTHING;
