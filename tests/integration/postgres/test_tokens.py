"""API tokens in real rows: what each may, until when, and each change with its audit row."""

from datetime import timedelta

import pytest

from storage.domain.account import Role, TokenOwner
from storage.errors import AccountRefused, UnknownRecord
from storage.postgres.account_rows import PostgresAccountDirectory
from storage.postgres.token_rows import PostgresTokenStore
from tests.integration.postgres.conftest import Hospital

DIGEST, OTHER = "a" * 64, "b" * 64
OPERATOR, VIEWER = frozenset({Role.OPERATOR}), frozenset({Role.VIEWER})
YEAR = timedelta(days=365)


@pytest.fixture
def accounts(hospital: Hospital) -> PostgresAccountDirectory:
    """A directory with an account of two roles, router."""
    directory = PostgresAccountDirectory(hospital.database)
    directory.add("router", "hash", OPERATOR | VIEWER, "tester")
    return directory


@pytest.fixture
def tokens(hospital: Hospital, accounts: PostgresAccountDirectory) -> PostgresTokenStore:
    """The tokens of that directory."""
    return PostgresTokenStore(hospital.database)


def test_a_token_stands_for_its_account_with_its_own_roles(hospital: Hospital, tokens: PostgresTokenStore) -> None:
    """It is known by its digest only, notes its use, and the row of its making says who made it."""
    tokens.add("router", "ct-router", DIGEST, OPERATOR, YEAR, "tester")

    owner = tokens.owner(DIGEST)

    assert isinstance(owner, TokenOwner)
    assert (owner.account, owner.token, owner.roles) == ("router", "ct-router", OPERATOR)
    assert tokens.owner(OTHER) is None
    [token] = tokens.all()
    assert token.last_used_at is not None
    assert token.expires_at - token.created_at == YEAR
    assert hospital.rows("SELECT actor, details FROM audit_event WHERE action = 'user-changed'") == [
        ("tester", {"account": "router", "change": "token added", "token": "ct-router", "roles": "operator"})
    ]


def test_a_token_never_may_more_than_its_account(
    accounts: PostgresAccountDirectory, tokens: PostgresTokenStore
) -> None:
    """Not when it is made, and not when the account lost a role since; with none left it lets nobody in."""
    with pytest.raises(AccountRefused, match="own roles"):
        tokens.add("router", "too-much", DIGEST, frozenset({Role.ADMINISTRATOR}), YEAR, "tester")
    with pytest.raises(AccountRefused, match="own roles"):
        tokens.add("router", "nothing", DIGEST, frozenset(), YEAR, "tester")
    tokens.add("router", "both", DIGEST, OPERATOR | VIEWER, YEAR, "tester")

    accounts.set_roles("router", VIEWER, "tester")
    owner = tokens.owner(DIGEST)
    assert owner is not None
    assert owner.roles == VIEWER
    accounts.set_roles("router", frozenset({Role.AUDITOR}), "tester")
    assert tokens.owner(DIGEST) is None


def test_a_token_ends(hospital: Hospital, accounts: PostgresAccountDirectory, tokens: PostgresTokenStore) -> None:
    """When it is revoked, when its time is over, and for as long as its account is disabled."""
    tokens.add("router", "revoked", DIGEST, VIEWER, YEAR, "tester")
    tokens.add("router", "short", OTHER, VIEWER, timedelta(0), "tester")

    assert tokens.owner(OTHER) is None
    accounts.disable("router", "tester")
    assert tokens.owner(DIGEST) is None
    accounts.enable("router", "tester")
    assert tokens.owner(DIGEST) is not None
    tokens.revoke("router", "revoked", "tester")
    tokens.revoke("router", "revoked", "tester")
    assert tokens.owner(DIGEST) is None
    assert hospital.rows("SELECT count(*) FROM audit_event WHERE details->>'change' = 'token revoked'") == [(1,)]


@pytest.mark.parametrize("name", ["", "A", "a b", "x" * 65])
def test_a_name_of_a_token_is_plain_and_given_once(tokens: PostgresTokenStore, name: str) -> None:
    """So that it can stand in logs and audit exports as it is, and always means the same token."""
    tokens.add("router", "first", DIGEST, VIEWER, YEAR, "tester")

    with pytest.raises(AccountRefused, match="small letters"):
        tokens.add("router", name, OTHER, VIEWER, YEAR, "tester")
    tokens.revoke("router", "first", "tester")
    with pytest.raises(AccountRefused, match="already"):
        tokens.add("router", "first", OTHER, VIEWER, YEAR, "tester")


def test_what_nobody_knows_is_told(tokens: PostgresTokenStore) -> None:
    """An unknown account or token is named with the command that lists those there are."""
    for call in (
        lambda: tokens.add("nobody", "name", DIGEST, VIEWER, YEAR, "tester"),
        lambda: tokens.revoke("nobody", "name", "tester"),
        lambda: tokens.revoke("router", "name", "tester"),
    ):
        with pytest.raises(UnknownRecord, match="overread users"):
            call()
