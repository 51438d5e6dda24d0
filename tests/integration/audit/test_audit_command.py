"""`overread audit` as an auditor uses it: honest exit statuses, safe files, and no reading without a row about it."""

import csv
import io
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from overread.cli import overread
from overread.errors import FrontDeskError
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.errors import AuditTampered
from storage.objects.checkpoint_file import CheckpointFile
from storage.postgres.audit_trail import PostgresAuditTrail

_HOSTILE = '=HYPERLINK("http://evil")\r\nfake,row\x1b[2J\u202e<script>'
Run = Callable[..., Result]


@pytest.fixture
def environment(service_url: str, tmp_path: Path) -> dict[str, str | None]:
    """The variables of an installation with the test's trail."""
    return {name: None for name in os.environ if name.startswith("OVERREAD_")} | {
        "OVERREAD_CONFIG": os.devnull,
        "OVERREAD_DATA_DIR": str(tmp_path / "data"),
        "OVERREAD_DATABASE_URL": service_url,
    }


@pytest.fixture
def run(environment: dict[str, str | None]) -> Run:
    """Runs `overread audit …`; errors come as they are."""
    return lambda *arguments: CliRunner().invoke(
        overread, ["audit", *map(str, arguments)], env=environment, catch_exceptions=False
    )


def _actions(trail: Any) -> list[str]:
    return [action for (action,) in trail.as_owner("SELECT action FROM audit_event ORDER BY id")]


def test_verify_says_how_many_rows_fit_and_leaves_a_row(trail: Any, run: Run, service_url: str) -> None:
    """Exit status 0, the counts, whose they are, and a row that the trail was verified."""
    trail.write(3)
    trail.anchor()
    trail.write(1)

    done = run("verify")

    assert f"4 audit rows in the database {urlsplit(service_url).path.strip('/')} on" in done.stdout
    assert "confirm the first 3" in done.stdout
    assert done.stderr == ""
    assert _actions(trail)[-1] == "audit-read"


def test_verify_fails_on_the_first_bad_row(trail: Any, run: Run) -> None:
    """The sentence names the row, and the failure is written down too."""
    trail.write(3)
    trail.tamper("UPDATE audit_event SET actor = 'mallory' WHERE id = 2", rebuild=False)

    with pytest.raises(AuditTampered, match="Row 2"):
        run("verify")
    assert trail.as_owner("SELECT outcome, details FROM audit_event ORDER BY id DESC LIMIT 1") == [
        ("serious-failure", {"verified_rows": 1, "first_bad_row": 2})
    ]


def test_a_fault_ends_the_process_with_one(trail: Any, environment: dict[str, str | None]) -> None:
    """A cron job sees it without reading the text."""
    trail.write(2)
    trail.tamper("DELETE FROM audit_event WHERE id = 1", rebuild=False)
    variables = {**os.environ, **{name: value for name, value in environment.items() if value is not None}}

    done = subprocess.run(
        [sys.executable, "-m", "overread", "audit", "verify"],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "Row 1 is missing" in done.stderr


def test_an_auditors_own_key_is_asked_for_the_checkpoints(trail: Any, run: Run, tmp_path: Path) -> None:
    """A file signed anew with another key agrees with the key beside it, but not with the auditor's copy."""
    trail.write(2)
    trail.anchor()
    kept = tmp_path / "kept.pub"
    kept.write_bytes(trail.checkpoints.public_key_path.read_bytes())
    for path in trail.checkpoints.path.parent.iterdir():
        path.unlink()
    CheckpointFile(tmp_path / "data")
    trail.anchor()

    assert run("verify").exit_code == 0
    with pytest.raises(AuditTampered, match="not signed with this installation's key"):
        run("verify", "--public-key", kept)


def test_tail_shows_the_newest_rows_harmless_for_a_terminal(trail: Any, run: Run) -> None:
    """One line a row whatever an actor calls itself, oldest first, and the reading is a row itself."""
    trail.write(5)
    PostgresAuditTrail(trail.database).record(AuditEvent(AuditAction.LOGIN_FAILED, _HOSTILE))

    lines = run("tail", "-n", "2").stdout.splitlines()

    assert [line.split()[0] for line in lines] == ["5", "6"]
    assert "\\u000d\\u000afake,row\\u001b[2J\\u202e" in lines[1]
    assert _actions(trail)[-1] == "audit-read"


def test_tail_follows_what_is_added(trail: Any, environment: dict[str, str | None]) -> None:
    """New rows appear while it runs; what it shows later needs no further row of its own."""
    variables = {**os.environ, **{name: value for name, value in environment.items() if value is not None}}
    command = [sys.executable, "-u", "-m", "overread", "audit", "tail", "-n", "1", "--follow"]
    trail.write(1)
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        first = following.stdout.readline()
        trail.write(1)
        seen = [following.stdout.readline() for _ in range(2)]
        following.terminate()

    assert first.split()[0] == "1"
    assert ["audit-read" in seen[0], "study-viewed" in seen[1]] == [True, True]


def test_an_export_is_safe_in_a_spreadsheet(trail: Any, run: Run, tmp_path: Path) -> None:
    """No cell is a formula, no cell breaks a line or hides text, and what CSV reads back is one record a row."""
    PostgresAuditTrail(trail.database).record(
        AuditEvent(AuditAction.LOGIN_FAILED, _HOSTILE, study_instance_uid="@SUM(1)", details={"-x": _HOSTILE})
    )
    path = tmp_path / "rows.csv"

    said = run("export", "--csv", path).stdout

    text = path.read_text(encoding="utf-8")
    (row,) = csv.DictReader(io.StringIO(text))
    assert "1 audit rows" in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert row["actor"].startswith("'=HYPERLINK")
    assert row["study_instance_uid"] == "'@SUM(1)"
    assert row["details"].startswith("{")
    assert len(text.splitlines()) == 2
    assert not [letter for letter in "".join(text.splitlines()) if ord(letter) < 32 or letter == "\u202e"]


def test_an_export_is_written_down_before_anything_is_given_out(trail: Any, run: Run, tmp_path: Path) -> None:
    """The row names the reader's choice; a file that cannot be made leaves none."""
    trail.write(2)
    path = tmp_path / "rows.csv"
    run("export", "--csv", path, "--study", "1.2.3", "--since", "2026-01-01")

    assert trail.as_owner("SELECT action, study_instance_uid, details FROM audit_event ORDER BY id DESC LIMIT 1") == [
        ("audit-exported", "1.2.3", {"up_to_row": 2, "since": "2026-01-01T00:00:00+00:00"})
    ]
    with pytest.raises(FrontDeskError, match="exists already"):
        run("export", "--csv", path)
    assert _actions(trail).count("audit-exported") == 1


def test_an_export_can_be_narrowed(trail: Any, run: Run) -> None:
    """By study and by time; a time without a zone is UTC, and what is no time is told."""
    trail.write(2)
    time.sleep(0.01)
    between = trail.as_owner("SELECT now() AT TIME ZONE 'UTC'")[0][0].isoformat()
    PostgresAuditTrail(trail.database).record(AuditEvent(AuditAction.STUDY_VIEWED, "bob", study_instance_uid="9.9"))

    def rows(*choice: str) -> list[str]:
        return [row["row"] for row in csv.DictReader(io.StringIO(run("export", "--csv", "-", *choice).stdout))]

    assert rows("--study", "9.9") == ["3"]
    assert rows("--since", between, "--study", "1.2.3") == []
    assert rows("--since", between)[0] == "3"
    assert "no ISO 8601 time" in run("export", "--csv", "-", "--since", "yesterday").stderr


def test_a_reader_that_may_not_write_sees_no_rows(trail: Any, run: Run) -> None:
    """Where the row about the reading cannot be written, nothing is shown."""
    trail.write(1)
    trail.as_owner("ALTER TABLE audit_head RENAME TO out_of_reach")

    for command in (("tail",), ("export", "--csv", "-")):
        with pytest.raises(Exception, match="refused a change"):
            run(*command)
