-- One page of studies, newest first; the page is cut before states are derived, unless a state is asked for.
WITH chosen AS MATERIALIZED (
    SELECT study.id, study.study_instance_uid, study.study_date, study.last_received_at
    FROM study
    WHERE (CAST(:days AS integer) IS NULL OR study.last_received_at > now() - make_interval(days => :days))
        AND (
            CAST(:before_time AS timestamptz) IS NULL
            OR (study.last_received_at, study.study_instance_uid) < (:before_time, :before_uid)
        )
        AND (CAST(:accession_number AS text) IS NULL OR study.accession_number = :accession_number)
    ORDER BY study.last_received_at DESC, study.study_instance_uid DESC
    LIMIT CASE WHEN CAST(:state AS text) IS NULL THEN CAST(:rows AS integer) END
)
SELECT
    state.*,
    chosen.study_date,
    (
        SELECT coalesce(string_agg(DISTINCT series.modality, '/' ORDER BY series.modality), '')
        FROM series
        WHERE series.study_id = chosen.id AND series.modality <> ''
    ) AS modalities
FROM chosen
CROSS JOIN LATERAL ( -- OFFSET keeps the view from being joined as a whole: each study's state is derived on its own
    SELECT * FROM study_overview WHERE study_overview.study_instance_uid = chosen.study_instance_uid OFFSET 0
) AS state
WHERE CAST(:state AS text) IS NULL OR state.state = :state
ORDER BY chosen.last_received_at DESC, chosen.study_instance_uid DESC
LIMIT :rows;
