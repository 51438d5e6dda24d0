"""Seven ways of tampering by somebody who owns the tables, each twice: with the hashes left alone and made to fit."""

import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from storage.errors import AuditTampered
from storage.postgres.embedded import EmbeddedPostgres

_FORGED = """
INSERT INTO audit_event (id, recorded_at, action, actor, outcome, study_instance_uid, job_id, details, prev_hash,
    row_hash)
SELECT 8, recorded_at, action, 'mallory', outcome, study_instance_uid, job_id, details, prev_hash, row_hash
FROM audit_event WHERE id = 7
"""
_WAYS = {
    "one byte is changed": (["UPDATE audit_event SET actor = 'alicf' WHERE id = 7"], 7),
    "a row in the middle is deleted": (["DELETE FROM audit_event WHERE id = 7"], 7),
    "the tail is deleted": (["DELETE FROM audit_event WHERE id > 16"], 17),
    "a forged row is put in": (
        ["UPDATE audit_event SET id = -id WHERE id > 7", "UPDATE audit_event SET id = 1 - id WHERE id < 0", _FORGED],
        8,
    ),
    "two rows change places": (
        [
            "UPDATE audit_event SET id = -7 WHERE id = 7",
            "UPDATE audit_event SET id = 7 WHERE id = 8",
            "UPDATE audit_event SET id = 8 WHERE id = -7",
        ],
        7,
    ),
    "everything is truncated": (["TRUNCATE audit_event"], 1),
}


def _prepare(trail: Any) -> None:
    """Twenty rows, of which a checkpoint confirms the first five, another one all."""
    trail.write(5)
    trail.anchor()
    trail.write(15)
    trail.anchor()


def test_an_untouched_trail_verifies(trail: Any) -> None:
    """Every row fits, and the checkpoints confirm those that were there when the last one was taken."""
    _prepare(trail)
    trail.write(3)

    found = trail.verify()

    assert (found.rows, found.anchored, found.faults, found.notes) == (23, 20, (), ())


@pytest.mark.parametrize("way", _WAYS)
def test_tampering_names_the_first_bad_row(trail: Any, way: str) -> None:
    """With the hashes left as they were, the chain itself tells which row is the first that does not fit."""
    _prepare(trail)
    statements, row = _WAYS[way]
    trail.tamper(*statements, rebuild=False)

    found = trail.verify()

    assert found.first_bad_row == row
    assert found.faults


@pytest.mark.parametrize("way", _WAYS)
def test_tampering_with_a_chain_made_to_fit_shows_against_the_checkpoints(trail: Any, way: str) -> None:
    """An owner can write every hash anew; then the signed checkpoints no longer agree, before and after new rows."""
    _prepare(trail)
    trail.tamper(*_WAYS[way][0], rebuild=True)

    before = trail.verify()
    trail.write(30)
    after = trail.verify()

    for found in (before, after):
        assert found.faults
        assert found.first_bad_row in range(1 if "truncated" in way else 6, _WAYS[way][1] + 1)
    with pytest.raises(AuditTampered):
        trail.anchor()


def test_an_older_backup_shows_although_its_chain_is_whole(
    trail: Any, open_trail: Callable[[str, str], Any], embedded_server: EmbeddedPostgres, postgres_server: str
) -> None:
    """A database restored from yesterday lacks rows that a checkpoint counted, also after it has been written to."""
    trail.write(3)
    trail.anchor()
    trail.write(2)
    backup = f"{urlsplit(trail.owner_url).path[1:]}_yesterday"
    trail.database.close()
    with _server(postgres_server) as cursor:
        cursor.execute(f"CREATE DATABASE {backup} TEMPLATE {backup.removesuffix('_yesterday')}")
    trail.write(5)
    trail.anchor()
    restored = open_trail(_at(postgres_server, backup), _at(embedded_server.url, backup))

    before = restored.verify()
    restored.write(10)
    after = restored.verify()
    with pytest.raises(AuditTampered):
        restored.anchor()
    restored.database.close()
    with _server(postgres_server) as cursor:
        cursor.execute(f"DROP DATABASE {backup} WITH (FORCE)")

    assert before.first_bad_row == 4
    assert "10 rows" in before.faults[0]
    assert after.first_bad_row in range(4, 11)
    assert trail.verify().faults == ()


@contextlib.contextmanager
def _server(url: str) -> Any:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        yield cursor


def _at(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def test_a_tail_deleted_from_rows_and_head_alike_shows_only_against_a_checkpoint(trail: Any) -> None:
    """That is why the checkpoints exist: without them the shorter chain is whole."""
    _prepare(trail)
    trail.tamper("DELETE FROM audit_event WHERE id > 16", rebuild=True)

    found = trail.verify()
    trail.checkpoints.path.unlink()
    without = trail.verify()

    assert found.first_bad_row in (6, 17)
    assert without.faults == ()
    assert "no checkpoint" in without.notes[0]


_CHANGES = {
    "id": "40",
    "recorded_at": "recorded_at + interval '1 microsecond'",
    "action": "action || 'x'",
    "actor": "actor || ' '",
    "outcome": "'minor-failure'",
    "study_instance_uid": "study_instance_uid || '4'",
    "job_id": "NULL",
    "details": "details || '{\"number\": 5}'",
    "prev_hash": "decode(repeat('11', 32), 'hex')",
    "row_hash": "decode(repeat('11', 32), 'hex')",
}


@pytest.mark.parametrize("column", _CHANGES)
def test_no_column_can_be_changed_unseen(trail: Any, column: str) -> None:
    """Every column is in the hash, or is one."""
    trail.write(3)
    trail.tamper(f"UPDATE audit_event SET {column} = {_CHANGES[column]} WHERE id = 2", rebuild=False)  # noqa: S608

    assert trail.verify().first_bad_row == 2


def test_every_column_is_tried(trail: Any) -> None:
    """A column added later has to be added to the hash, and to the test above."""
    columns = trail.as_owner(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'audit_event'::regclass AND attnum > 0 AND NOT attisdropped"
    )

    assert {name for (name,) in columns} == set(_CHANGES)
