"""The web door: instances that came by a web request, and every object of a study as DICOMweb shows it.

Can the previous release run beside it: yes. It leaves the new columns at their defaults, which say DIMSE.
"""

from alembic import op

revision = "8c1e44d07a35"
down_revision = "7c1e0b95d2a4"
branch_labels = None
depends_on = None

_ASSOCIATION_HAS_A_DOOR = """
ALTER TABLE association
    ADD COLUMN door text DEFAULT 'dimse' NOT NULL,
    ADD COLUMN account text DEFAULT '' NOT NULL,
    ADD CONSTRAINT association_door_known CHECK (door IN ('dimse', 'web')),
    ADD CONSTRAINT association_account_when_web CHECK ((door = 'web') = (account <> ''));
"""

# What was received, and our own evidence beside it. A result that a PACS sent back to us shows once, with the bytes
# that were frozen here. `sha256` is of the data set as received, or of the whole file of frozen evidence.
_STUDY_OBJECT = """
CREATE VIEW study_object AS
SELECT
    instance.study_id,
    series.series_instance_uid,
    series.modality,
    series.body_part_examined,
    series.series_description,
    series.series_number,
    instance.sop_instance_uid,
    instance.sop_class_uid,
    instance.transfer_syntax_uid,
    instance.instance_number,
    instance.sha256,
    'received' AS origin
FROM instance
JOIN series ON series.id = instance.series_id
WHERE NOT EXISTS (SELECT FROM evidence WHERE evidence.sop_instance_uid = instance.sop_instance_uid)
UNION ALL
SELECT
    job.study_id,
    evidence.series_instance_uid,
    CASE evidence.role WHEN 'segmentation' THEN 'SEG' WHEN 'report' THEN 'SR' ELSE 'OT' END,
    '',
    '',
    NULL,
    evidence.sop_instance_uid,
    evidence.sop_class_uid,
    evidence.transfer_syntax_uid,
    NULL,
    evidence.sha256,
    'result'
FROM evidence
JOIN result ON result.id = evidence.result_id
JOIN job ON job.id = result.job_id
WHERE NOT EXISTS ( -- a resubmitted job refers to the bytes that were frozen first
    SELECT FROM evidence AS first
    WHERE first.sop_instance_uid = evidence.sop_instance_uid AND first.id < evidence.id
);
"""


def upgrade() -> None:
    """Go up."""
    op.execute(_ASSOCIATION_HAS_A_DOOR)
    op.execute(_STUDY_OBJECT)


def downgrade() -> None:
    """Go down."""
    op.execute("DROP VIEW study_object")
    op.execute("ALTER TABLE association DROP COLUMN door, DROP COLUMN account")
