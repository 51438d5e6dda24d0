"""What an archive says of how many instances a study has, as evidence of whether it is complete.

Can the previous release run beside it: yes; it asks no archive and settles without these rows.
"""

from alembic import op

revision = "e83b05c6f14d"
down_revision = "c4f17a92d6e0"
branch_labels = None
depends_on = None

_KINDS = "kind IN ('quiet', 'longest-wait', 'commitment', 'count', 'geometry', 'said')"
_KINDS_BEFORE = "kind IN ('quiet', 'longest-wait', 'commitment', 'geometry', 'said')"

_COUNTS = """
CREATE TABLE study_count (
    study_id bigint NOT NULL,
    destination text NOT NULL,
    due_at timestamptz DEFAULT now(),
    asked_at timestamptz,
    counted_at timestamptz,
    instances bigint,
    note text DEFAULT '' NOT NULL,
    CONSTRAINT study_count_pkey PRIMARY KEY (study_id, destination),
    CONSTRAINT study_count_study_id_fkey FOREIGN KEY (study_id) REFERENCES study (id),
    CONSTRAINT study_count_counted_at_a_time CHECK ((instances IS NULL) = (counted_at IS NULL)),
    CONSTRAINT study_count_instances_count_up CHECK (instances >= 0)
)
"""


def upgrade() -> None:
    op.execute(_COUNTS)
    _allow(_KINDS)


def downgrade() -> None:
    # A revision without a decisive row is told as one of the release before.
    op.execute("DELETE FROM revision_evidence WHERE kind = 'count'")
    _allow(_KINDS_BEFORE)
    op.execute("DROP TABLE study_count")


def _allow(kinds: str) -> None:
    op.execute("ALTER TABLE revision_evidence DROP CONSTRAINT revision_evidence_kind_known")
    op.execute(f"ALTER TABLE revision_evidence ADD CONSTRAINT revision_evidence_kind_known CHECK ({kinds})")
