"""On what it is decided that a study is complete: what peers say of it, and the evidence of each revision.

Can the previous release run beside it: yes; what it settles has no evidence, and a study that it settles may later be
settled by this release without waiting for quiet.
"""

from alembic import op

revision = "c4f17a92d6e0"
down_revision = "7e2b94d0c5a1"
branch_labels = None
depends_on = None

_TABLES = (
    """
CREATE TABLE completeness_claim (
    claim_id text NOT NULL,
    study_instance_uid text NOT NULL,
    kind text NOT NULL,
    calling_ae_title text NOT NULL,
    sop_instance_uids text[] NOT NULL,
    received_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT completeness_claim_pkey PRIMARY KEY (claim_id, study_instance_uid),
    CONSTRAINT completeness_claim_kind_known CHECK (kind IN ('commitment'))
)
""",
    "CREATE INDEX completeness_claim_of_study ON completeness_claim (study_instance_uid)",
    "CREATE INDEX completeness_claim_oldest ON completeness_claim (received_at)",
    """
CREATE TABLE revision_evidence (
    study_id bigint NOT NULL,
    revision integer NOT NULL,
    kind text NOT NULL,
    word text NOT NULL,
    decisive boolean NOT NULL,
    sentence text NOT NULL,
    CONSTRAINT revision_evidence_pkey PRIMARY KEY (study_id, revision, kind),
    CONSTRAINT revision_evidence_study_id_revision_fkey FOREIGN KEY (study_id, revision)
        REFERENCES study_revision (study_id, revision),
    CONSTRAINT revision_evidence_kind_known
        CHECK (kind IN ('quiet', 'longest-wait', 'commitment', 'geometry', 'said')),
    CONSTRAINT revision_evidence_word_known CHECK (word IN ('whole', 'lacking', 'silent')),
    CONSTRAINT revision_evidence_told CHECK (sentence <> '')
)
""",
    "CREATE UNIQUE INDEX revision_evidence_decisive ON revision_evidence (study_id, revision) WHERE decisive",
)


def upgrade() -> None:
    op.execute("ALTER TABLE study ADD COLUMN unsettled_since timestamptz")
    for table in _TABLES:
        op.execute(table)


def downgrade() -> None:
    op.execute("DROP TABLE revision_evidence")
    op.execute("DROP TABLE completeness_claim")
    op.execute("ALTER TABLE study DROP COLUMN unsettled_since")
