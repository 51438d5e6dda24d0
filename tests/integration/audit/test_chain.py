"""The chain as it grows: without gaps, whoever writes at once, held only for a moment, started over old rows too."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from alembic import command

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.errors import AuditTampered, DamagedObject
from storage.postgres import schema
from storage.postgres.audit_trail import append

_EVENT = AuditEvent(AuditAction.JOB_CLAIMED, "worker", study_instance_uid="1.2.3", job_id=1, details={"attempt": 1})


class _Undone(Exception):
    pass


def test_rows_of_many_writers_form_one_chain_without_gaps(trail: Any) -> None:
    """Writers that work at once, some of which give up, leave numbers from one on and hashes that follow."""

    def write() -> None:
        for turn in range(30):
            with contextlib.suppress(_Undone), trail.database.transaction() as session:
                append(session, _EVENT, _EVENT)
                if turn % 3 == 0:
                    raise _Undone

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    found = trail.verify()
    assert (found.rows, found.faults) == (4 * 20 * 2, ())


def test_long_work_in_a_transaction_keeps_nobody_from_writing(trail: Any) -> None:
    """The end of the chain is taken when the transaction commits, not when an event is told."""
    with trail.database.transaction() as slow:
        append(slow, _EVENT)
        trail.write(1)

    assert trail.as_owner("SELECT action FROM audit_event ORDER BY id") == [("study-viewed",), ("job-claimed",)]


def test_times_follow_the_order_of_rows(trail: Any) -> None:
    """A transaction that began first and ended last has the later time, as its row is the later one."""
    with trail.database.transaction() as slow:
        append(slow, _EVENT)
        slow.connection().exec_driver_sql("SELECT 1")
        trail.write(2)

    assert trail.as_owner(
        "SELECT count(*) FROM audit_event a JOIN audit_event b ON a.id < b.id AND a.recorded_at > b.recorded_at"
    ) == [(0,)]


def test_anybody_can_recompute_a_hash_from_the_page(trail: Any) -> None:
    """The canonical text is JSON that another program writes the same way (docs/reference/audit-trail.md)."""
    trail.write(1)
    ((*facts, details, prev_hash, row_hash),) = trail.as_owner(
        "SELECT id, (extract(epoch FROM recorded_at) * 1000000)::bigint, action, actor, outcome, study_instance_uid, "
        "job_id, details, prev_hash, row_hash FROM audit_event"
    )
    ordered = {key: details[key] for key in sorted(details, key=lambda key: (len(key), key))}

    canonical = json.dumps([*map(_plain, facts), ordered], ensure_ascii=False)

    assert hashlib.sha256(bytes(prev_hash) + canonical.encode()).digest() == bytes(row_hash)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else int(value)


def test_rows_of_the_first_release_are_chained_as_they_are_found(
    empty_database_url: str, open_trail: Callable[[str, str], Any]
) -> None:
    """After the upgrade the old rows have numbers without gaps and hashes, and a row says how many they are."""
    command.upgrade(schema.configuration(empty_database_url), "5d0c2f7a91be")
    with (
        contextlib.closing(psycopg2.connect(empty_database_url)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        for number in range(5):
            cursor.execute(
                "INSERT INTO audit_event (action, actor, outcome, study_instance_uid, details) "
                "VALUES ('application-started', %s, 'success', '', '{\"old\": true}')",
                (f"listener {number}",),
            )
            cursor.execute("SELECT nextval(pg_get_serial_sequence('audit_event', 'id'))")  # as a rolled back row does
    schema.upgrade(empty_database_url)
    trail = open_trail(empty_database_url, empty_database_url)
    trail.write(1)

    assert trail.as_owner("SELECT id, actor FROM audit_event ORDER BY id") == [
        *((number + 1, f"listener {number}") for number in range(5)),
        (6, "migration"),
        (7, "alice"),
    ]
    assert trail.as_owner("SELECT details FROM audit_event WHERE id = 6") == [({"rows_before": 5},)]
    assert trail.verify().faults == ()


def test_going_down_keeps_the_rows(database_url: str, open_trail: Callable[[str, str], Any]) -> None:
    """A database taken back to before the chain keeps its rows and takes new ones, and can be upgraded again."""
    trail = open_trail(database_url, database_url)
    trail.write(2)
    trail.database.close()
    command.downgrade(schema.configuration(database_url), "8c1e44d07a35")
    trail.as_owner(
        "INSERT INTO audit_event (action, actor, outcome, study_instance_uid, details) "
        "VALUES ('application-started', 'old release', 'success', '', '{}')"
    )
    schema.upgrade(database_url)

    assert [row[0] for row in trail.as_owner("SELECT actor FROM audit_event ORDER BY id")] == [
        "alice",
        "alice",
        "old release",
        "migration",
    ]
    assert trail.verify().faults == ()


def test_checkpoints_are_taken_only_when_rows_were_added(trail: Any) -> None:
    """A quiet service does not fill the disk with checkpoints."""
    assert trail.anchor() == 0
    trail.write(2)

    assert [trail.anchor(), trail.anchor()] == [1, 0]
    trail.write(1)
    assert trail.anchor() == 1
    assert [checkpoint.end.rows for checkpoint in trail.checkpoints.read()] == [2, 3]


@pytest.mark.parametrize("change", ["edit", "take out", "put in", "sign with another key"])
def test_checkpoints_that_were_changed_are_faults(trail: Any, change: str) -> None:
    """The file itself cannot be rewritten without the key, and a forged last line stops further signatures."""
    for _ in range(3):
        trail.write(1)
        trail.anchor()
    path = trail.checkpoints.path
    lines = path.read_bytes().splitlines(keepends=True)
    key = trail.checkpoints.public_key_path.read_bytes()
    if change == "edit":
        lines[1] = lines[1].replace(b'"rows": 2', b'"rows": 1')
    elif change == "take out":
        del lines[1]
    elif change == "put in":
        facts = json.loads(lines[2])
        lines.append(json.dumps({**facts, "previous": hashlib.sha256(lines[2].rstrip()).hexdigest()}).encode() + b"\n")
    else:
        for name in ("checkpoint-key", "checkpoint-key.pub", "checkpoints.jsonl"):
            (path.parent / name).unlink()
        trail.anchor()
        lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines))

    assert "checkpoints.jsonl" in trail.verify(key).faults[0]
    if change == "put in":
        trail.write(1)
        with pytest.raises(AuditTampered):
            trail.anchor()


def test_a_line_that_a_crash_cut_short_is_passed_over(trail: Any) -> None:
    """A power cut in the middle of a checkpoint neither alarms anybody nor hides the ones before and after."""
    trail.write(1)
    trail.anchor()
    with trail.checkpoints.path.open("ab") as file:
        file.write(trail.checkpoints.path.read_bytes()[:50])
    trail.write(1)
    trail.anchor()

    found = trail.verify()

    assert (found.rows, found.anchored, found.faults) == (2, 2, ())


def test_a_lost_key_is_not_replaced_in_silence(trail: Any) -> None:
    """With checkpoints there and the key gone, a new key would look like somebody else's."""
    trail.write(1)
    trail.anchor()
    (trail.checkpoints.path.parent / "checkpoint-key").unlink()
    trail.write(1)

    with pytest.raises(DamagedObject, match="restore it from a backup"):
        trail.anchor()


def test_without_the_heads_row_nothing_is_written(trail: Any) -> None:
    """Where the end of the chain is unknown, a change is refused rather than chained to nothing."""
    trail.write(1)
    trail.as_owner("DELETE FROM audit_head")

    with pytest.raises(Exception, match="refused a change"):
        trail.write(1)
    assert trail.as_owner("SELECT count(*) FROM audit_event") == [(1,)]
