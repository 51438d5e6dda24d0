"""Evidence comes in forms of which a destination needs one, and a delivery can be settled as not needed.

Can the previous release run beside it: no, because it does not say which form an object has; stop every role first.
"""

import re

from alembic import op
from sqlalchemy import text

revision = "2d7f6a81c0e9"
down_revision = "b2e6f1907d3c"
branch_labels = None
depends_on = None

# Before, a segmentation was always binary and a report always a Comprehensive 3D SR.
_FORM = """
ALTER TABLE evidence ADD COLUMN form text, ADD COLUMN stands_in boolean DEFAULT false NOT NULL;
UPDATE evidence SET form =
    CASE role WHEN 'segmentation' THEN 'binary' WHEN 'report' THEN 'comprehensive-3d' ELSE role END;
ALTER TABLE evidence
    ALTER COLUMN form SET NOT NULL,
    ADD CONSTRAINT evidence_form_known CHECK (form IN (
        'binary', 'binary-unaligned', 'label-map', 'fractional', 'comprehensive-3d', 'comprehensive', 'enhanced',
        'basic-text', 'structure-set', 'parametric-map', 'secondary-capture', 'presentation-state', 'document',
        'key-objects'
    ));
"""

# As before, but what only stands in for another form of the same content is not shown, and every role has its modality.
_STUDY_OBJECT = """
CREATE OR REPLACE VIEW study_object AS
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
    CASE evidence.role {modalities} ELSE 'OT' END,
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
WHERE {shown} NOT EXISTS ( -- a resubmitted job refers to the bytes that were frozen first
    SELECT FROM evidence AS first
    WHERE first.sop_instance_uid = evidence.sop_instance_uid AND first.id < evidence.id
);
"""
_MODALITIES_BEFORE = "WHEN 'segmentation' THEN 'SEG' WHEN 'report' THEN 'SR'"
_MODALITIES = (
    _MODALITIES_BEFORE + " WHEN 'presentation-state' THEN 'PR' WHEN 'key-objects' THEN 'KO' "
    "WHEN 'structure-set' THEN 'RTSTRUCT' WHEN 'document' THEN 'DOC'"
)

_STATES_BEFORE = "'waiting', 'acknowledged', 'refused', 'canceled'"
_SETTLED = "('acknowledged', 'not-needed')"
_ACKNOWLEDGED = {"study_overview": "=", "unaccounted_instance": "<>"}  # view → how it compares the state


def upgrade() -> None:
    op.execute(_FORM)
    op.execute(_STUDY_OBJECT.format(modalities=_MODALITIES, shown="NOT evidence.stands_in AND"))
    _delivery_states(_STATES_BEFORE + ", 'not-needed'")
    for view, sign in _ACKNOWLEDGED.items():
        word = "IN" if sign == "=" else "NOT IN"
        _edit(view, rf"delivery\.state {sign} 'acknowledged'(::text)?", f"delivery.state {word} {_SETTLED}")


def downgrade() -> None:
    for view, sign in _ACKNOWLEDGED.items():
        some = "= ANY" if sign == "=" else "<> ALL"
        _edit(
            view,
            rf"delivery\.state {some} \(ARRAY\['acknowledged'::text, 'not-needed'::text\]\)",
            f"delivery.state {sign} 'acknowledged'",
        )
    op.execute("DELETE FROM delivery WHERE state = 'not-needed'")
    _delivery_states(_STATES_BEFORE)
    op.execute(_STUDY_OBJECT.format(modalities=_MODALITIES_BEFORE, shown=""))
    op.execute("ALTER TABLE evidence DROP COLUMN form, DROP COLUMN stands_in")


def _delivery_states(known: str) -> None:
    op.execute("ALTER TABLE delivery DROP CONSTRAINT delivery_state_known")
    op.execute(f"ALTER TABLE delivery ADD CONSTRAINT delivery_state_known CHECK (state IN ({known}))")


def _edit(view: str, old: str, new: str) -> None:
    """Change one comparison in a long view, or stop where it is not found exactly once."""
    query = op.get_bind().scalar(text("SELECT pg_get_viewdef(CAST(:view AS regclass))"), {"view": view})
    changed, found = re.subn(old, new, str(query))
    if found != 1:
        raise RuntimeError(f"The view {view} is not the one that this release made; restore it and upgrade again.")
    op.get_bind().exec_driver_sql(f"CREATE OR REPLACE VIEW {view} AS {changed}")
