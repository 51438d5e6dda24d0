"""Accounts and sessions in real rows, each change with its audit row."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from storage.domain.account import Role
from storage.errors import AccountRefused, UnknownRecord
from storage.postgres.account_rows import PostgresAccountDirectory
from storage.postgres.session_rows import PostgresSessionStore
from tests.integration.postgres.conftest import Hospital

TOKEN, OTHER = "a" * 64, "b" * 64
VIEWER = frozenset({Role.VIEWER})


@pytest.fixture
def accounts(hospital: Hospital) -> PostgresAccountDirectory:
    """A directory with one viewer, anna."""
    directory = PostgresAccountDirectory(hospital.database)
    directory.add("anna", "hash", VIEWER, "tester")
    return directory


@pytest.fixture
def sessions(hospital: Hospital, accounts: PostgresAccountDirectory) -> PostgresSessionStore:
    """Sessions of anna's directory that end after an hour, or ten minutes unused."""
    return PostgresSessionStore(hospital.database, timedelta(minutes=10), timedelta(hours=1))


def test_an_account_is_added_with_its_audit_row(hospital: Hospital, accounts: PostgresAccountDirectory) -> None:
    """The row says who added whom with which roles, and holds no hash."""
    (row,) = hospital.rows("SELECT actor, details FROM audit_event WHERE action = 'user-added'")

    assert row == ("tester", {"account": "anna", "roles": "viewer"})
    assert [(one.name, one.roles, one.disabled_at) for one in accounts.all()] == [("anna", VIEWER, None)]


def test_a_name_is_given_once(hospital: Hospital, accounts: PostgresAccountDirectory) -> None:
    """A second account of the name is refused and changes nothing, even when the first is disabled."""
    accounts.disable("anna", "tester")

    with pytest.raises(AccountRefused, match="already"):
        accounts.add("anna", "other", frozenset({Role.ADMINISTRATOR}), "tester")

    assert hospital.audited("user-added") == 1
    assert accounts.all()[0].roles == VIEWER


@pytest.mark.parametrize("name", ["", "Anna", "anna smith", "änna", "-anna", "a" * 65, "anna\n", "=1+1"])
def test_a_name_that_would_confuse_is_refused(accounts: PostgresAccountDirectory, name: str) -> None:
    """Names are plain, so that they can stand in logs, tables and audit exports as they are."""
    with pytest.raises(AccountRefused):
        accounts.add(name, "hash", VIEWER, "tester")
    assert accounts.credential(name) is None


def test_a_session_has_an_owner_until_it_is_ended(
    hospital: Hospital, accounts: PostgresAccountDirectory, sessions: PostgresSessionStore
) -> None:
    """Login and logout leave one audit row each; a logout of what has ended leaves none."""
    assert sessions.begin("anna", TOKEN, "10.0.0.1")
    owner = sessions.owner(TOKEN, touch=True)
    assert owner is not None
    assert owner.name == "anna"
    assert sessions.owner(OTHER, touch=True) is None

    sessions.end(TOKEN, "10.0.0.1")
    sessions.end(TOKEN, "10.0.0.1")

    assert sessions.owner(TOKEN, touch=True) is None
    assert hospital.rows("SELECT actor, details FROM audit_event WHERE action = 'login-succeeded'") == [
        ("anna", {"address": "10.0.0.1"})
    ]
    assert hospital.audited("logged-out") == 1


@pytest.mark.parametrize(
    "end",
    [
        lambda accounts: accounts.disable("anna", "tester"),
        lambda accounts: accounts.set_password("anna", "another", "tester"),
    ],
    ids=["disable", "password"],
)
def test_disabling_or_a_new_password_ends_every_session_at_once(
    accounts: PostgresAccountDirectory, sessions: PostgresSessionStore, end: Callable[[PostgresAccountDirectory], None]
) -> None:
    """No request of an open session passes after the change."""
    sessions.begin("anna", TOKEN, "10.0.0.1")
    sessions.begin("anna", OTHER, "10.0.0.2")

    end(accounts)

    assert sessions.owner(TOKEN, touch=True) is None
    assert sessions.owner(OTHER, touch=True) is None


def test_a_disabled_account_starts_no_session(
    hospital: Hospital, accounts: PostgresAccountDirectory, sessions: PostgresSessionStore
) -> None:
    """Also when its password was checked just before; enabling lets it in again."""
    accounts.disable("anna", "tester")
    assert not sessions.begin("anna", TOKEN, "10.0.0.1")
    assert hospital.audited("login-succeeded") == 0

    accounts.enable("anna", "tester")
    assert sessions.begin("anna", TOKEN, "10.0.0.1")


@pytest.mark.parametrize(
    "age",
    ["last_seen_at = now() - interval '11 minutes'", "expires_at = now() - interval '1 second'"],
    ids=["unused", "expired"],
)
def test_a_session_ends_unused_or_at_its_time(hospital: Hospital, sessions: PostgresSessionStore, age: str) -> None:
    """Such a session has no owner, and the next login removes its row."""
    sessions.begin("anna", TOKEN, "10.0.0.1")
    hospital.rows(f"UPDATE web_session SET {age}")  # noqa: S608 - from the two lines above

    assert sessions.owner(TOKEN, touch=True) is None
    sessions.begin("anna", OTHER, "10.0.0.1")
    assert hospital.rows("SELECT token_sha256 FROM web_session") == [(OTHER,)]


@pytest.mark.parametrize(("touch", "moved"), [(True, True), (False, False)])
def test_only_a_person_keeps_a_session_alive(
    hospital: Hospital, sessions: PostgresSessionStore, touch: bool, moved: bool
) -> None:
    """A page that brings itself up to date does not count as use."""
    sessions.begin("anna", TOKEN, "10.0.0.1")
    hospital.rows("UPDATE web_session SET last_seen_at = now() - interval '5 minutes'")

    assert sessions.owner(TOKEN, touch=touch) is not None
    ((fresh,),) = hospital.rows("SELECT last_seen_at > now() - interval '1 minute' FROM web_session")
    assert fresh is moved


def test_roles_change_for_sessions_under_way(
    hospital: Hospital, accounts: PostgresAccountDirectory, sessions: PostgresSessionStore
) -> None:
    """The next request has the new roles, and the audit row names both."""
    sessions.begin("anna", TOKEN, "10.0.0.1")
    accounts.set_roles("anna", frozenset({Role.AUDITOR}), "tester")

    owner = sessions.owner(TOKEN, touch=True)
    assert owner is not None
    assert owner.roles == {Role.AUDITOR}
    assert hospital.rows("SELECT details FROM audit_event WHERE action = 'user-changed'") == [
        ({"account": "anna", "change": "roles", "before": "viewer", "after": "auditor"},)
    ]


def test_what_names_nobody_is_told(accounts: PostgresAccountDirectory) -> None:
    """A change of an account that is not there raises, and repeats nothing of what was typed."""
    for change in (accounts.disable, accounts.enable):
        with pytest.raises(UnknownRecord) as raised:
            change("hunter2", "tester")
        assert "hunter2" not in str(raised.value)


def test_a_stronger_hash_replaces_only_the_one_it_was_made_from(accounts: PostgresAccountDirectory) -> None:
    """A password that changes between login and rehash stays changed."""
    before = accounts.credential("anna")
    assert before is not None
    accounts.set_password("anna", "changed", "tester")
    accounts.rehash(before, "stronger")

    after = accounts.credential("anna")
    assert after is not None
    assert after.password_hash == "changed"
