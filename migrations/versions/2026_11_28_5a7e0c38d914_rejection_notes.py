"""A result on late images may say by a rejection note that the objects of an earlier one are no longer to be used.

Can the previous release run beside it: yes, as long as no profile names `rejection-note`, which it does not know.
"""

import re

from alembic import op
from sqlalchemy import text

revision = "5a7e0c38d914"
down_revision = "9f3c61a8d2b4"
branch_labels = None
depends_on = None

_ROLES = (
    *("segmentation", "structure-set", "parametric-map", "secondary-capture", "presentation-state", "report"),
    *("document", "key-objects"),
)
_FORMS = (
    *("binary", "binary-unaligned", "binary-per-segment", "binary-per-segment-unaligned", "label-map", "fractional"),
    *("comprehensive-3d", "comprehensive", "enhanced", "basic-text", "structure-set", "parametric-map"),
    *("secondary-capture", "presentation-state", "document", "key-objects"),
)
_NOTE = "rejection-note"
_KEY_OBJECTS = r"(WHEN 'key-objects'::text THEN 'KO'::text)"
_MODALITY = f"WHEN '{_NOTE}'::text THEN 'KO'::text"


def upgrade() -> None:
    _words("role", *_ROLES, _NOTE)
    _words("form", *_FORMS, _NOTE)
    _edit("study_object", _KEY_OBJECTS, rf"\1 {_MODALITY}")


def downgrade() -> None:
    op.execute(
        """
        DELETE FROM delivery_proof USING delivery, evidence
        WHERE delivery_proof.delivery_id = delivery.id AND delivery.evidence_id = evidence.id
            AND evidence.role = 'rejection-note';
        DELETE FROM delivery USING evidence
        WHERE delivery.evidence_id = evidence.id AND evidence.role = 'rejection-note';
        DELETE FROM evidence WHERE role = 'rejection-note';
        """
    )
    _words("role", *_ROLES)
    _words("form", *_FORMS)
    _edit("study_object", rf"\s*{_MODALITY}", "")


def _words(column: str, *words: str) -> None:
    listed = ", ".join(f"'{word}'" for word in words)
    op.execute(f"ALTER TABLE evidence DROP CONSTRAINT evidence_{column}_known")
    op.execute(f"ALTER TABLE evidence ADD CONSTRAINT evidence_{column}_known CHECK ({column} IN ({listed}))")


def _edit(view: str, old: str, new: str) -> None:
    """Change one branch in a long view, or stop where it is not found exactly once."""
    query = op.get_bind().scalar(text("SELECT pg_get_viewdef(CAST(:view AS regclass))"), {"view": view})
    changed, found = re.subn(old, new, str(query))
    if found != 1:
        raise RuntimeError(f"The view {view} is not the one that this release made; restore it and upgrade again.")
    op.get_bind().exec_driver_sql(f"CREATE OR REPLACE VIEW {view} AS {changed}")
