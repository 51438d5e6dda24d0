"""`overread users`: who may come in, told on the command line; a password is never an argument."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from listener.web.passwords import matches
from listener.web.program_login import token_sha256
from storage.postgres.account_rows import PostgresAccountDirectory
from storage.postgres.engine import open_database
from storage.postgres.token_rows import PostgresTokenStore

PASSWORD = "a good long password"
_DEADLINE = 60.0

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    """The variables that make the command work on the test's database."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
    return inherited | {
        "OVERREAD_CONFIG": os.devnull,
        "OVERREAD_DATA_DIR": str(tmp_path),
        "OVERREAD_DATABASE_URL": database_url,
    }


@pytest.fixture
def users(environment: dict[str, str]) -> Run:
    """Runs `overread users …` with this on its standard input."""

    def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "overread", "users", *arguments]
        return subprocess.run(
            command, env=environment, input=typed, capture_output=True, text=True, check=False, timeout=_DEADLINE
        )

    return run


def _hash_of(database_url: str, name: str) -> str:
    database = open_database(database_url, "test")
    try:
        credential = PostgresAccountDirectory(database).credential(name)
    finally:
        database.close()
    assert credential is not None
    return credential.password_hash


def test_an_account_lives_its_life_on_the_command_line(users: Run, database_url: str) -> None:
    """Added, listed, given another role and password, disabled, enabled: each says in a sentence what it did."""
    assert "There is no account" in users("list").stdout
    added = users("add", "anna", "--role", "viewer", "--role", "auditor", "--password-stdin", typed=f"{PASSWORD}\n")
    assert (added.returncode, added.stdout) == (0, "anna may log in as auditor and viewer.\n")
    assert matches(_hash_of(database_url, "anna"), PASSWORD)

    assert users("roles", "anna", "--role", "operator").returncode == 0
    assert users("password", "anna", "--password-stdin", typed="another long password\n").returncode == 0
    assert matches(_hash_of(database_url, "anna"), "another long password")
    assert "its sessions have ended" in users("disable", "anna").stdout
    listed = users("list").stdout
    assert "operator" in listed
    assert "disabled" in listed
    assert users("enable", "anna").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "typed", "told"),
    [
        (("add", "anna", "--role", "viewer", "--password-stdin"), "too short\n", "at least 12 characters"),
        (("add", "anna", "--role", "viewer", "--password-stdin"), "", "at least 12 characters"),
        (("add", "anna", "--role", "viewer"), "", "--password-stdin"),
        (("add", "Anna Smith", "--role", "viewer", "--password-stdin"), PASSWORD, "small letters"),
        (("add", "anna", "--role", "king", "--password-stdin"), PASSWORD, "king"),
        (("add", "anna", "--password-stdin"), PASSWORD, "--role"),
        (("disable", "nobody"), "", "no account of this name"),
        (("password", "nobody", "--password-stdin"), PASSWORD, "no account of this name"),
    ],
)
def test_a_mistake_changes_nothing(
    users: Run, database_url: str, arguments: tuple[str, ...], typed: str, told: str
) -> None:
    """Each is one sentence with the remedy and a status other than 0, and nobody is added."""
    done = users(*arguments, typed=typed)

    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    database = open_database(database_url, "test")
    assert PostgresAccountDirectory(database).all() == ()
    database.close()


@pytest.mark.parametrize(("second", "status"), [(PASSWORD, 0), ("another long password", 1)])
def test_on_a_terminal_the_password_is_asked_twice(environment: dict[str, str], second: str, status: int) -> None:
    """What is typed is not echoed; two that differ add nobody."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "overread", "users", "add", "anna", "--role", "viewer"]
    process = subprocess.Popen(
        command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown = b""
    for prompt, answer in ((b"Password", PASSWORD), (b"The same again", second)):
        while prompt not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, f"{answer}\n".encode())
    while True:
        try:
            more = os.read(ours, 1000)
        except OSError:  # the other side has closed
            break
        if not more:
            break
        shown += more
    os.close(ours)

    assert process.wait(_DEADLINE) == status
    assert PASSWORD.encode() not in shown
    assert (b"may log in as viewer" if status == 0 else b"differ") in shown


def test_a_token_lives_its_life_on_the_command_line(users: Run, database_url: str) -> None:
    """Shown once on standard output and nowhere again, listed with its state, revoked; each says what it did."""
    assert users("add", "router", "--role", "operator", "--password-stdin", typed=f"{PASSWORD}\n").returncode == 0
    assert "There is no token" in users("token", "list").stdout

    added = users("token", "add", "router", "ct", "--role", "operator", "--days", "30")

    assert added.returncode == 0
    assert "30 days" in added.stderr
    text = added.stdout.strip()
    database = open_database(database_url, "test")
    try:
        owner = PostgresTokenStore(database).owner(token_sha256(text))
    finally:
        database.close()
    assert owner is not None
    assert owner.account == "router"
    listed = users("token", "list", "router").stdout
    assert "until" in listed
    assert text not in listed
    assert "lets nobody in" in users("token", "revoke", "router", "ct").stdout
    assert "revoked" in users("token", "list").stdout
    refused = users("token", "add", "router", "other", "--role", "viewer")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "own roles" in refused.stderr
