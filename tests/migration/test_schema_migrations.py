"""The migrations lead to the tables, go both ways, and let one upgrade wait for another."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from storage.errors import DatabaseUnavailable, SchemaOutdated, StorageError
from storage.postgres import schema
from storage.postgres.engine import UPGRADE_LOCK, open_engine
from storage.postgres.tables import Base

_EVERY_CONSTRAINT_AND_INDEX = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND conrelid::regclass::text <> 'alembic_version'
UNION ALL
SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
UNION ALL
SELECT table_name, column_name, concat_ws(' ', data_type, is_nullable, column_default, is_identity,
    identity_generation, generation_expression) FROM information_schema.columns
JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'alembic_version'
"""

_THREE_INSTANCES_OF_TWO_STUDIES = """
INSERT INTO association (association_id, calling_ae_title, called_ae_title, remote_address, started_at, ending,
    stored_count, refused_count, reason)
VALUES ('0b5a1c62-8a3b-4d7e-9a51-000000000001', 'CT1', 'OVERREAD', '127.0.0.1', now(), 'open', 0, 0, '');
INSERT INTO study (study_instance_uid, patient_id, issuer_of_patient_id, accession_number)
SELECT uid, '', '', '' FROM unnest(ARRAY['1.2.3', '1.2.4', '1.2.5']) AS uid;
INSERT INTO series (study_id, series_instance_uid, modality, body_part_examined, series_description)
SELECT id, study_instance_uid || '.1', 'CT', '', '' FROM study;
INSERT INTO instance (study_id, series_id, sop_instance_uid, sop_class_uid, transfer_syntax_uid, sha256, size,
    association_id, received_at)
SELECT series.study_id, series.id, uid, '1.2', '1.2', repeat('a', 64), size, association_id, now()
FROM (VALUES ('1.2.3.1', '1.2.3.1.1', 10), ('1.2.3.1', '1.2.3.1.2', 20), ('1.2.4.1', '1.2.4.1.1', 30))
    AS sent (series_uid, uid, size)
JOIN series ON series_instance_uid = series_uid, association;
"""


@contextlib.contextmanager
def _cursor(url: str) -> Iterator[Any]:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def _structure(url: str) -> set[tuple[str, ...]]:
    with _cursor(url) as cursor:
        cursor.execute(_EVERY_CONSTRAINT_AND_INDEX)
        return set(cursor.fetchall())


def test_the_migrated_schema_is_the_one_in_tables(database_url: str) -> None:
    """From empty to head gives exactly the tables, columns and indexes of tables.py."""
    engine = open_engine(database_url, "test", pooled=False)

    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_the_migrated_constraints_are_those_in_tables(database_url: str, empty_database_url: str) -> None:
    """Every constraint, index and column reads the same whether migrated or made from tables.py."""
    Base.metadata.create_all(open_engine(empty_database_url, "test", pooled=False))

    assert _structure(database_url) == _structure(empty_database_url)


def test_the_schema_goes_up_down_and_up_again(empty_database_url: str) -> None:
    """Going down leaves nothing behind, and going up again gives the same schema."""
    head = schema.upgrade(empty_database_url)
    first = _structure(empty_database_url)

    command.downgrade(schema.configuration(empty_database_url), "base")

    assert _structure(empty_database_url) == set()
    with _cursor(empty_database_url) as cursor:
        cursor.execute("SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        assert cursor.fetchone() == (0,)
    assert schema.upgrade(empty_database_url) == head
    assert _structure(empty_database_url) == first


def test_studies_that_were_there_are_counted(empty_database_url: str) -> None:
    """An upgrade counts what each study holds already, and a study without instances as empty."""
    schema.upgrade(empty_database_url)
    command.downgrade(schema.configuration(empty_database_url), "2f6a0c9d83e5")
    with _cursor(empty_database_url) as cursor:
        cursor.execute(_THREE_INSTANCES_OF_TWO_STUDIES)

    schema.upgrade(empty_database_url)

    with _cursor(empty_database_url) as cursor:
        cursor.execute("SELECT study_instance_uid, instance_count, byte_count FROM study ORDER BY 1")
        assert cursor.fetchall() == [("1.2.3", 2, 30), ("1.2.4", 1, 30), ("1.2.5", 0, 0)]


_A_NOTICE_THAT_WAS_TOLD = """
INSERT INTO study_revision (study_id, revision) SELECT id, 1 FROM study WHERE study_instance_uid = '1.2.3';
INSERT INTO algorithm (name, version, stage, folder, manifest_sha256, artifact_sha256)
VALUES ('lungs', '1', 'active', '', repeat('a', 64), repeat('b', 64));
UPDATE study SET revision = 1 WHERE study_instance_uid = '1.2.3';
UPDATE instance SET revision = 1 FROM study WHERE study.id = study_id AND study.revision = 1;
SET session_replication_role = replica; -- a job is made in the state that it ended in
INSERT INTO job (kind, study_id, revision, algorithm_id, state, attempt, started_at, finished_at, reason_code,
    reason_sentence)
SELECT 'inference', study_id, 1, 1, 'failed', 1, now(), now(), 'gap', 'Slices are missing.' FROM study_revision;
INSERT INTO job (kind, study_id, revision, algorithm_id, about_id)
SELECT 'notice', study_id, revision, algorithm_id, id FROM job;
INSERT INTO result (job_id, series_instance_uid, artifact_sha256, execution_provider, findings, report_text)
SELECT id, '1.2.3.1', repeat('b', 64), '', '[]', 'NOT ANALYSED' FROM job WHERE kind = 'inference';
INSERT INTO result_input (result_id, instance_id) SELECT 1, min(id) FROM instance;
INSERT INTO evidence (result_id, role, form, sop_class_uid, sop_instance_uid, series_instance_uid,
    transfer_syntax_uid, sha256, size)
SELECT id, 'report', 'basic-text', '1.2', '1.2.9', '1.2.8', '1.2', repeat('c', 64), 1 FROM result;
INSERT INTO job (kind, study_id, revision, result_id, destination)
SELECT 'delivery', study_id, 1, 1, 'pacs' FROM study_revision;
INSERT INTO delivery (evidence_id, destination, job_id)
SELECT 1, 'pacs', id FROM job WHERE kind = 'delivery';
SET session_replication_role = origin;
"""


def test_going_down_leaves_the_inference_that_was_told(empty_database_url: str) -> None:
    """The release before knows no notice: it and what it made go, the failed inference and its reason stay."""
    schema.upgrade(empty_database_url)
    with _cursor(empty_database_url) as cursor:
        cursor.execute(_THREE_INSTANCES_OF_TWO_STUDIES + _A_NOTICE_THAT_WAS_TOLD)

    command.downgrade(schema.configuration(empty_database_url), "9d41b7e3c560")

    with _cursor(empty_database_url) as cursor:
        cursor.execute("SELECT kind, state, reason_code FROM job")
        assert cursor.fetchall() == [("inference", "failed", "gap")]
        cursor.execute("SELECT count(*) FROM result")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT state, reason_code FROM study_overview WHERE study_instance_uid = '1.2.3'")
        assert cursor.fetchone() == ("failed", "gap")
    schema.upgrade(empty_database_url)


_A_SHADOW_BESIDE_AN_ANALYSIS = """
INSERT INTO study_revision (study_id, revision) SELECT id, 1 FROM study WHERE study_instance_uid = '1.2.3';
UPDATE study SET revision = 1 WHERE study_instance_uid = '1.2.3';
UPDATE instance SET revision = 1 FROM study WHERE study.id = study_id AND study.revision = 1;
INSERT INTO algorithm (name, version, stage, folder, manifest_sha256, artifact_sha256)
SELECT 'lungs', number::text, stage, '', repeat('a', 64), repeat('b', 64)
FROM (VALUES (1, 'active'), (2, 'shadow')) AS version (number, stage);
SET session_replication_role = replica; -- a job is made in the state that it ended in
INSERT INTO job (kind, study_id, revision, algorithm_id, state, attempt, started_at, finished_at, outcome, shadow,
    priority)
SELECT 'inference', study_id, 1, number, 'completed', 1, now(), now(), 'analysed', number = 2,
    CASE number WHEN 1 THEN 'routine' ELSE 'low' END
FROM study_revision, generate_series(1, 2) AS number;
INSERT INTO result (job_id, series_instance_uid, artifact_sha256, execution_provider, findings, report_text)
SELECT id, '1.2.3.1', repeat('b', 64), '', '[]', '' FROM job;
INSERT INTO result_input (result_id, instance_id) SELECT result.id, min(instance.id) FROM result, instance GROUP BY 1;
INSERT INTO result_statistics (result_id, algorithm_id, scanner, protocol, acquisition, "values", scores, stages)
SELECT id, job_id, '', '', '{}', '{}', '{}', '{}' FROM result;
SET session_replication_role = origin;
"""


def test_going_down_forgets_what_shadows_found(empty_database_url: str) -> None:
    """The release before would take it for a result: it goes, the active version's stays, the version is held."""
    schema.upgrade(empty_database_url)
    with _cursor(empty_database_url) as cursor:
        cursor.execute(_THREE_INSTANCES_OF_TWO_STUDIES + _A_SHADOW_BESIDE_AN_ANALYSIS)

    command.downgrade(schema.configuration(empty_database_url), "a3f08c61d9e7")

    with _cursor(empty_database_url) as cursor:
        cursor.execute("SELECT algorithm_version FROM result_origin")
        assert cursor.fetchall() == [("1",)]
        cursor.execute("SELECT count(*) FROM result_input")
        assert cursor.fetchone() == (1,)
        cursor.execute("SELECT version, stage FROM algorithm ORDER BY 1")
        assert cursor.fetchall() == [("1", "active"), ("2", "registered")]
    schema.upgrade(empty_database_url)


def test_two_upgrades_wait_for_one_another(empty_database_url: str) -> None:
    """Upgrades that meet queue up on one lock, and all of them end at the head."""
    program = "import sys; from storage.postgres import schema; print(schema.upgrade(sys.argv[1]))"
    with _cursor(empty_database_url) as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (UPGRADE_LOCK,))
        upgrades = [
            subprocess.Popen([sys.executable, "-c", program, empty_database_url], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        waiting = 0
        while waiting < 2 and all(upgrade.poll() is None for upgrade in upgrades):
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            waiting = cursor.fetchone()[0]
        cursor.execute("SELECT pg_advisory_unlock(%s)", (UPGRADE_LOCK,))
        heads = {upgrade.communicate()[0].strip() for upgrade in upgrades}

    assert waiting == 2
    assert heads == {schema.check(empty_database_url)}


def test_check_returns_the_revision_of_a_current_schema(database_url: str) -> None:
    """A schema at the head passes the check."""
    assert schema.check(database_url) == schema.upgrade(database_url)


def test_check_names_the_remedy_for_an_empty_database(empty_database_url: str) -> None:
    """A database without a schema is outdated, and the message says which command helps."""
    with pytest.raises(SchemaOutdated, match="overread db upgrade"):
        schema.check(empty_database_url)


def test_check_names_both_revisions_when_the_schema_is_newer(database_url: str) -> None:
    """A schema made by a later release is refused, naming what was found and what is wanted."""
    wanted = schema.check(database_url)
    with _cursor(database_url) as cursor:
        cursor.execute("UPDATE alembic_version SET version_num = 'fffffffffff0'")

    with pytest.raises(SchemaOutdated, match=f"fffffffffff0.*{wanted}"):
        schema.check(database_url)


def test_upgrade_leaves_a_newer_schema_alone(database_url: str) -> None:
    """An older release neither touches what a later one made nor fails without a name."""
    with _cursor(database_url) as cursor:
        cursor.execute("UPDATE alembic_version SET version_num = 'fffffffffff0'")

    with pytest.raises(SchemaOutdated, match="fffffffffff0, which this release does not know"):
        schema.upgrade(database_url)


@pytest.mark.parametrize("act", [schema.upgrade, schema.check])
def test_tables_of_another_program_are_refused_by_name(act: Callable[[str], str], empty_database_url: str) -> None:
    """A database with a table named like ours, but no revision, is somebody else's."""
    with _cursor(empty_database_url) as cursor:
        cursor.execute("CREATE TABLE study (id integer)")

    with pytest.raises(SchemaOutdated, match="a table study that Overread did not make"):
        act(empty_database_url)


@pytest.mark.parametrize("act", [schema.upgrade, schema.check])
def test_two_recorded_revisions_are_refused(act: Callable[[str], str], database_url: str) -> None:
    """A database that another program shares with us through Alembic's table is told, not guessed at."""
    with _cursor(database_url) as cursor:
        cursor.execute("INSERT INTO alembic_version VALUES ('eeeeeeeeeee0')")

    with pytest.raises(SchemaOutdated, match="eeeeeeeeeee0"):
        act(database_url)


def test_check_tells_a_missing_server_from_an_old_schema() -> None:
    """Without a server the check raises DatabaseUnavailable."""
    with pytest.raises(DatabaseUnavailable):
        schema.check("postgresql://nobody@127.0.0.1:1/nothing")


def test_a_migration_without_a_database_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With neither URL nor environment the migration stops with the remedy."""
    monkeypatch.delenv("OVERREAD_DATABASE_URL", raising=False)
    config = schema.configuration("")

    with pytest.raises(StorageError, match="OVERREAD_DATABASE_URL"):
        command.upgrade(config, "head")
