"""The first schema: what was received, the job queue, results, deliveries and the audit trail.

Can the previous release run beside it: there is none. A later release only has to leave these names in place
for one release when it moves on.
"""

from alembic import op

revision = "5d0c2f7a91be"
down_revision = None
branch_labels = None
depends_on = None

# The job lifecycle as it was at this revision; a test holds it equal to storage.domain.job.TRANSITIONS.
JOB_TRANSITIONS = [
    ("scheduled", "claim", "in_progress"),
    ("scheduled", "cancel", "canceled"),
    ("in_progress", "renew", "in_progress"),
    ("in_progress", "complete", "completed"),
    ("in_progress", "retry", "scheduled"),
    ("in_progress", "fail", "failed"),
    ("in_progress", "cancel", "canceled"),
]

_ASSOCIATION = """
CREATE TABLE association (
    association_id uuid NOT NULL,
    calling_ae_title text NOT NULL,
    called_ae_title text NOT NULL,
    remote_address text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    ending text NOT NULL,
    stored_count integer NOT NULL,
    refused_count integer NOT NULL,
    reason text NOT NULL,
    recorded_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT association_pkey PRIMARY KEY (association_id),
    CONSTRAINT association_ending_known CHECK (ending IN ('open', 'released', 'aborted', 'rejected')),
    CONSTRAINT association_ended_when_not_open CHECK ((ending = 'open') = (ended_at IS NULL))
);
"""

_STUDY = """
CREATE TABLE study (
    id bigint GENERATED ALWAYS AS IDENTITY,
    study_instance_uid text NOT NULL,
    patient_id text NOT NULL,
    issuer_of_patient_id text NOT NULL,
    accession_number text NOT NULL,
    study_date date,
    first_received_at timestamptz DEFAULT now() NOT NULL,
    last_received_at timestamptz DEFAULT now() NOT NULL,
    revision integer DEFAULT 0 NOT NULL,
    parked_at timestamptz,
    parked_code text,
    parked_sentence text,
    CONSTRAINT study_pkey PRIMARY KEY (id),
    CONSTRAINT study_revision_counts_up CHECK (revision >= 0),
    CONSTRAINT study_parked_with_a_reason
        CHECK (num_nonnulls(parked_at, parked_code, parked_sentence) IN (0, 3)),
    CONSTRAINT study_study_instance_uid_key UNIQUE (study_instance_uid)
);
"""

_STUDY_REVISION = """
CREATE TABLE study_revision (
    study_id bigint NOT NULL,
    revision integer NOT NULL,
    stable_at timestamptz DEFAULT now() NOT NULL,
    reason_code text,
    reason_sentence text,
    CONSTRAINT study_revision_pkey PRIMARY KEY (study_id, revision),
    CONSTRAINT study_revision_revision_starts_at_one CHECK (revision >= 1),
    CONSTRAINT study_revision_reason_is_whole CHECK (num_nonnulls(reason_code, reason_sentence) IN (0, 2)),
    CONSTRAINT study_revision_study_id_fkey FOREIGN KEY(study_id) REFERENCES study (id)
);
"""

_SERIES = """
CREATE TABLE series (
    id bigint GENERATED ALWAYS AS IDENTITY,
    study_id bigint NOT NULL,
    series_instance_uid text NOT NULL,
    modality text NOT NULL,
    body_part_examined text NOT NULL,
    series_description text NOT NULL,
    series_number bigint,
    CONSTRAINT series_pkey PRIMARY KEY (id),
    CONSTRAINT series_study_id_series_instance_uid_key UNIQUE (study_id, series_instance_uid),
    CONSTRAINT series_study_id_id_key UNIQUE (study_id, id),
    CONSTRAINT series_study_id_fkey FOREIGN KEY(study_id) REFERENCES study (id)
);
"""

_INSTANCE = """
CREATE TABLE instance (
    id bigint GENERATED ALWAYS AS IDENTITY,
    study_id bigint NOT NULL,
    series_id bigint NOT NULL,
    sop_instance_uid text NOT NULL,
    sop_class_uid text NOT NULL,
    transfer_syntax_uid text NOT NULL,
    instance_number bigint,
    sha256 text NOT NULL,
    size bigint NOT NULL,
    association_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    recorded_at timestamptz DEFAULT now() NOT NULL,
    revision integer,
    excluded_rule text,
    CONSTRAINT instance_pkey PRIMARY KEY (id),
    CONSTRAINT instance_study_id_series_id_fkey FOREIGN KEY(study_id, series_id)
        REFERENCES series (study_id, id),
    CONSTRAINT instance_study_id_revision_fkey FOREIGN KEY(study_id, revision)
        REFERENCES study_revision (study_id, revision),
    CONSTRAINT instance_excluded_rule_known CHECK (excluded_rule IN ('own-result', 'derived-object')),
    CONSTRAINT instance_sha256_is_hexadecimal CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT instance_excluded_never_counts CHECK (revision IS NULL OR excluded_rule IS NULL),
    CONSTRAINT instance_sop_instance_uid_key UNIQUE (sop_instance_uid),
    CONSTRAINT instance_association_id_fkey FOREIGN KEY(association_id) REFERENCES association (association_id)
);
CREATE INDEX instance_of_series ON instance (series_id);
CREATE INDEX instance_of_study ON instance (study_id, revision);
CREATE INDEX instance_unsettled ON instance (study_id) WHERE revision IS NULL AND excluded_rule IS NULL;
"""

_QUARANTINED_OBJECT = """
CREATE TABLE quarantined_object (
    quarantine_id text NOT NULL,
    reason text NOT NULL,
    sop_instance_uid text NOT NULL,
    study_instance_uid text NOT NULL,
    sha256 text NOT NULL,
    size bigint NOT NULL,
    association_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    recorded_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT quarantined_object_pkey PRIMARY KEY (quarantine_id),
    CONSTRAINT quarantined_object_reason_known
        CHECK (reason IN ('conflict', 'unparsable', 'identity-mismatch', 'malformed-identifier', 'damaged')),
    CONSTRAINT quarantined_object_sha256_is_hexadecimal CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT quarantined_object_association_id_fkey FOREIGN KEY(association_id)
        REFERENCES association (association_id)
);
"""

_ALGORITHM = """
CREATE TABLE algorithm (
    id bigint GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    version text NOT NULL,
    stage text NOT NULL,
    folder text NOT NULL,
    manifest_sha256 text NOT NULL,
    artifact_sha256 text NOT NULL,
    added_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT algorithm_pkey PRIMARY KEY (id),
    CONSTRAINT algorithm_name_version_key UNIQUE (name, version),
    CONSTRAINT algorithm_stage_known CHECK (stage IN ('active', 'retired')),
    CONSTRAINT algorithm_manifest_sha256_is_hexadecimal CHECK (manifest_sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT algorithm_artifact_sha256_is_hexadecimal CHECK (artifact_sha256 ~ '^[0-9a-f]{64}$')
);
CREATE UNIQUE INDEX algorithm_one_active ON algorithm (name) WHERE stage = 'active';
"""

_JOB_TRANSITION = """
CREATE TABLE job_transition (
    from_state text NOT NULL,
    event text NOT NULL,
    to_state text NOT NULL,
    CONSTRAINT job_transition_pkey PRIMARY KEY (from_state, event)
);
"""

_JOB = """
CREATE TABLE job (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    state text DEFAULT 'scheduled' NOT NULL,
    priority text DEFAULT 'routine' NOT NULL,
    priority_rank smallint
        GENERATED ALWAYS AS (CASE priority WHEN 'stat' THEN 0 WHEN 'routine' THEN 1 WHEN 'low' THEN 2 END)
        STORED NOT NULL,
    study_id bigint NOT NULL,
    revision integer NOT NULL,
    algorithm_id bigint,
    result_id bigint,
    destination text,
    predecessor_id bigint,
    attempt integer DEFAULT 0 NOT NULL,
    worker text,
    scheduled_at timestamptz DEFAULT now() NOT NULL,
    due_at timestamptz DEFAULT now() NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    lease_token uuid,
    lease_expires_at timestamptz,
    outcome text,
    reason_code text,
    reason_sentence text,
    refusals jsonb DEFAULT '[]' NOT NULL,
    CONSTRAINT job_pkey PRIMARY KEY (id),
    CONSTRAINT job_study_id_revision_fkey FOREIGN KEY(study_id, revision)
        REFERENCES study_revision (study_id, revision),
    CONSTRAINT job_kind_known CHECK (kind IN ('inference', 'delivery')),
    CONSTRAINT job_state_known CHECK (state IN ('scheduled', 'in_progress', 'completed', 'failed', 'canceled')),
    CONSTRAINT job_priority_known CHECK (priority IN ('stat', 'routine', 'low')),
    CONSTRAINT job_outcome_known CHECK (outcome IN ('analysed', 'not-analysed')),
    CONSTRAINT job_names_its_work
        CHECK (
            (kind = 'inference' AND algorithm_id IS NOT NULL AND result_id IS NULL AND destination IS NULL)
            OR (kind = 'delivery' AND algorithm_id IS NULL AND result_id IS NOT NULL AND destination IS NOT NULL)
        ),
    CONSTRAINT job_leased_while_in_progress
        CHECK ((state = 'in_progress') = (lease_token IS NOT NULL)
            AND (state = 'in_progress') = (lease_expires_at IS NOT NULL)),
    CONSTRAINT job_finished_when_final
        CHECK ((state IN ('canceled', 'completed', 'failed')) = (finished_at IS NOT NULL)),
    CONSTRAINT job_started_when_attempted CHECK ((attempt > 0) = (started_at IS NOT NULL) AND attempt >= 0),
    CONSTRAINT job_outcome_when_completed
        CHECK ((kind = 'inference' AND state = 'completed') = (outcome IS NOT NULL)),
    CONSTRAINT job_reason_is_whole CHECK (num_nonnulls(reason_code, reason_sentence) IN (0, 2)),
    CONSTRAINT job_no_silent_end
        CHECK ((state NOT IN ('failed', 'canceled') AND outcome IS DISTINCT FROM 'not-analysed')
            OR reason_code IS NOT NULL),
    CONSTRAINT job_algorithm_id_fkey FOREIGN KEY(algorithm_id) REFERENCES algorithm (id),
    CONSTRAINT job_predecessor_id_key UNIQUE (predecessor_id),
    CONSTRAINT job_predecessor_id_fkey FOREIGN KEY(predecessor_id) REFERENCES job (id)
);
CREATE INDEX job_due ON job (kind, priority_rank, due_at, id) WHERE state = 'scheduled';
CREATE INDEX job_leased ON job (lease_expires_at) WHERE state = 'in_progress';
CREATE INDEX job_of_study ON job (study_id, revision);
CREATE UNIQUE INDEX job_one_delivery ON job (result_id, destination)
        WHERE kind = 'delivery' AND predecessor_id IS NULL;
CREATE UNIQUE INDEX job_one_inference ON job (study_id, revision, algorithm_id)
        WHERE kind = 'inference' AND predecessor_id IS NULL;
"""

_RESULT = """
CREATE TABLE result (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL,
    series_instance_uid text NOT NULL,
    artifact_sha256 text NOT NULL,
    execution_provider text NOT NULL,
    findings jsonb NOT NULL,
    report_text text NOT NULL,
    stored_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT result_pkey PRIMARY KEY (id),
    CONSTRAINT result_job_id_key UNIQUE (job_id),
    CONSTRAINT result_job_id_fkey FOREIGN KEY(job_id) REFERENCES job (id)
);
"""

_RESULT_INPUT = """
CREATE TABLE result_input (
    result_id bigint NOT NULL,
    instance_id bigint NOT NULL,
    CONSTRAINT result_input_pkey PRIMARY KEY (result_id, instance_id),
    CONSTRAINT result_input_result_id_fkey FOREIGN KEY(result_id) REFERENCES result (id),
    CONSTRAINT result_input_instance_id_fkey FOREIGN KEY(instance_id) REFERENCES instance (id)
);
CREATE INDEX result_input_instance ON result_input (instance_id);
"""

_EVIDENCE = """
CREATE TABLE evidence (
    id bigint GENERATED ALWAYS AS IDENTITY,
    result_id bigint NOT NULL,
    role text NOT NULL,
    sop_class_uid text NOT NULL,
    sop_instance_uid text NOT NULL,
    series_instance_uid text NOT NULL,
    transfer_syntax_uid text NOT NULL,
    sha256 text NOT NULL,
    size bigint NOT NULL,
    CONSTRAINT evidence_pkey PRIMARY KEY (id),
    CONSTRAINT evidence_result_id_sop_instance_uid_key UNIQUE (result_id, sop_instance_uid),
    CONSTRAINT evidence_role_known CHECK (role IN ('segmentation', 'report')),
    CONSTRAINT evidence_sha256_is_hexadecimal CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT evidence_result_id_fkey FOREIGN KEY(result_id) REFERENCES result (id)
);
CREATE INDEX evidence_sop_instance_uid ON evidence (sop_instance_uid);
"""

_DELIVERY = """
CREATE TABLE delivery (
    id bigint GENERATED ALWAYS AS IDENTITY,
    evidence_id bigint NOT NULL,
    destination text NOT NULL,
    job_id bigint NOT NULL,
    state text DEFAULT 'waiting' NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    status integer,
    note text DEFAULT '' NOT NULL,
    acknowledged_at timestamptz,
    CONSTRAINT delivery_pkey PRIMARY KEY (id),
    CONSTRAINT delivery_evidence_id_destination_key UNIQUE (evidence_id, destination),
    CONSTRAINT delivery_state_known CHECK (state IN ('waiting', 'acknowledged', 'refused', 'canceled')),
    CONSTRAINT delivery_acknowledged_at_a_time CHECK ((state = 'acknowledged') = (acknowledged_at IS NOT NULL)),
    CONSTRAINT delivery_evidence_id_fkey FOREIGN KEY(evidence_id) REFERENCES evidence (id),
    CONSTRAINT delivery_job_id_fkey FOREIGN KEY(job_id) REFERENCES job (id)
);
CREATE INDEX delivery_of_job ON delivery (job_id);
"""

_AUDIT_EVENT = """
CREATE TABLE audit_event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    recorded_at timestamptz DEFAULT now() NOT NULL,
    action text NOT NULL,
    actor text NOT NULL,
    outcome text NOT NULL,
    study_instance_uid text NOT NULL,
    job_id bigint,
    details jsonb NOT NULL,
    CONSTRAINT audit_event_pkey PRIMARY KEY (id),
    CONSTRAINT audit_event_outcome_known CHECK (outcome IN ('success', 'minor-failure', 'serious-failure'))
);
CREATE INDEX audit_event_of_study ON audit_event (study_instance_uid, id);
"""

# A result belongs to a job and a delivery job belongs to a result, so one of the two references comes last.
_JOB_OF_RESULT = """
ALTER TABLE job ADD CONSTRAINT job_result_id_fkey FOREIGN KEY (result_id) REFERENCES result (id);
"""

# Final states accept no event, so a final row can no longer change at all.
_LIFECYCLE_TRIGGER = """
CREATE FUNCTION job_follows_lifecycle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'scheduled' THEN
            RAISE EXCEPTION 'a new job is scheduled, not %', NEW.state
                USING ERRCODE = 'check_violation', CONSTRAINT = 'job_follows_lifecycle';
        END IF;
    ELSIF NOT EXISTS (SELECT FROM job_transition WHERE from_state = OLD.state AND to_state = NEW.state) THEN
        RAISE EXCEPTION 'job % may not go from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'job_follows_lifecycle';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER job_follows_lifecycle BEFORE INSERT OR UPDATE ON job
    FOR EACH ROW EXECUTE FUNCTION job_follows_lifecycle();
"""

_AUDIT_TRIGGER = """
CREATE FUNCTION audit_event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_event_is_append_only';
END
$$;
CREATE TRIGGER audit_event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_is_append_only();
"""

# What an administrator sees of a study. Only jobs at the end of their chain count: a resubmitted one speaks for
# its predecessors, and for the deliveries of the results that those made. Work that is under way shows for any
# revision, the verdict is that of the newest one.
_STUDY_OVERVIEW = """
CREATE VIEW study_overview AS
WITH counting_job AS NOT MATERIALIZED ( -- so that each study looks up its own jobs by index
    SELECT job.*
    FROM job
    LEFT JOIN result ON result.id = job.result_id
    WHERE NOT EXISTS (SELECT FROM job AS later WHERE later.predecessor_id IN (job.id, result.job_id))
)
SELECT
    study.study_instance_uid,
    CASE
        WHEN study.parked_at IS NOT NULL THEN 'parked'
        WHEN received.only_excluded THEN 'not-analysed'
        WHEN received.unsettled > 0 OR study.revision = 0 THEN 'receiving'
        WHEN work.analysing THEN 'analysing'
        WHEN work.queued THEN 'queued'
        WHEN work.delivering THEN 'delivering'
        WHEN work.failed THEN 'failed'
        WHEN work.canceled THEN 'canceled'
        WHEN work.analysed THEN 'done'
        WHEN work.not_analysed OR study_revision.reason_code IS NOT NULL THEN 'not-analysed'
        ELSE 'failed' -- no job and no reason: no_silent_state.sql finds it too
    END AS state,
    CASE
        WHEN study.parked_at IS NOT NULL THEN study.parked_sentence
        WHEN why.state IN ('failed', 'scheduled') THEN why.reason_sentence
        WHEN received.unsettled = 0 AND work.analysed IS NOT TRUE
            THEN coalesce(why.reason_sentence, study_revision.reason_sentence, nothing.sentence)
    END AS error,
    coalesce(study.parked_code, why.reason_code, study_revision.reason_code, nothing.code) AS reason_code,
    coalesce(
        study.parked_sentence, why.reason_sentence, study_revision.reason_sentence, nothing.sentence
    ) AS reason,
    study.revision,
    received.instances,
    received.excluded,
    study.first_received_at,
    study.last_received_at,
    study_revision.stable_at,
    work.inferred_at,
    sent.delivered_at
FROM study
LEFT JOIN study_revision ON study_revision.study_id = study.id AND study_revision.revision = study.revision
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE excluded_rule IS NULL) AS instances,
        count(*) FILTER (WHERE excluded_rule IS NOT NULL) AS excluded,
        count(*) FILTER (WHERE excluded_rule IS NULL AND revision IS NULL) AS unsettled,
        study.revision = 0 AND bool_and(excluded_rule IS NOT NULL) AS only_excluded
    FROM instance
    WHERE instance.study_id = study.id
) AS received
CROSS JOIN LATERAL (
    SELECT
        bool_or(kind = 'inference' AND job.state = 'in_progress') AS analysing,
        bool_or(kind = 'inference' AND job.state = 'scheduled') AS queued,
        bool_or(kind = 'delivery' AND job.state IN ('scheduled', 'in_progress')) AS delivering,
        bool_or(job.state = 'failed' AND job.revision = study.revision) AS failed,
        bool_or(job.state = 'canceled' AND job.revision = study.revision) AS canceled,
        bool_or(job.outcome = 'analysed' AND job.revision = study.revision) AS analysed,
        bool_or(job.outcome = 'not-analysed' AND job.revision = study.revision) AS not_analysed,
        max(job.finished_at) FILTER (WHERE job.outcome IS NOT NULL AND job.revision = study.revision) AS inferred_at
    FROM counting_job AS job
    WHERE job.study_id = study.id
) AS work
CROSS JOIN LATERAL (
    SELECT CASE WHEN bool_and(delivery.state = 'acknowledged') THEN max(delivery.acknowledged_at) END AS delivered_at
    FROM counting_job AS job
    JOIN delivery ON delivery.job_id = job.id
    WHERE job.study_id = study.id AND job.revision = study.revision
) AS sent
LEFT JOIN LATERAL (
    SELECT job.state, job.reason_code, job.reason_sentence
    FROM counting_job AS job
    WHERE job.study_id = study.id AND job.reason_code IS NOT NULL
        AND (job.state = 'scheduled' OR (job.revision = study.revision AND job.state <> 'in_progress')
        AND (job.state <> 'completed' OR job.outcome = 'not-analysed'))
    ORDER BY array_position(ARRAY['failed', 'scheduled', 'canceled', 'completed'], job.state), job.id DESC
    LIMIT 1
) AS why ON true
LEFT JOIN (VALUES (
    'nothing-to-analyse',
    'All that was received of this study is set aside by a rule, as reports, presentation states and segmentations '
    'are, so there is nothing to analyse; send its images.'
)) AS nothing (code, sentence) ON received.only_excluded;
"""


def upgrade() -> None:
    for statements in (
        _ASSOCIATION,
        _STUDY,
        _STUDY_REVISION,
        _SERIES,
        _INSTANCE,
        _QUARANTINED_OBJECT,
        _ALGORITHM,
        _JOB_TRANSITION,
        _JOB,
        _RESULT,
        _JOB_OF_RESULT,
        _RESULT_INPUT,
        _EVIDENCE,
        _DELIVERY,
        _AUDIT_EVENT,
        _LIFECYCLE_TRIGGER,
        _AUDIT_TRIGGER,
        _STUDY_OVERVIEW,
    ):
        op.execute(statements)
    rows = ", ".join(str(row) for row in JOB_TRANSITIONS)
    op.execute(f"INSERT INTO job_transition (from_state, event, to_state) VALUES {rows}")  # noqa: S608 - the list above


def downgrade() -> None:
    op.execute("DROP VIEW study_overview")
    op.execute("ALTER TABLE job DROP CONSTRAINT job_result_id_fkey")
    for table in (
        "audit_event",
        "delivery",
        "evidence",
        "result_input",
        "result",
        "job",
        "job_transition",
        "algorithm",
        "quarantined_object",
        "instance",
        "series",
        "study_revision",
        "study",
        "association",
    ):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION job_follows_lifecycle()")
    op.execute("DROP FUNCTION audit_event_is_append_only()")
