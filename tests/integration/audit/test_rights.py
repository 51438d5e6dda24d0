"""The service may add audit rows and read them; even the owner is stopped by the triggers as long as they are on."""

import contextlib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from overread.database import upgrade_configured
from overread.settings import Settings
from storage.errors import SchemaOutdated
from storage.postgres import schema
from storage.postgres.audit_chain import Guard, guard
from storage.postgres.embedded import SERVICE_ROLE
from storage.postgres.engine import open_database
from storage.postgres.rights import SERVICE_RIGHTS
from storage.settings import DatabaseSettings

_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "database-roles.md"


def _ask(url: str, *statements: str) -> list[Any]:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET actor = 'x'",
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "UPDATE audit_head SET rows = 0",
        "DELETE FROM audit_head",
        "INSERT INTO audit_event (id, action, actor, outcome, study_instance_uid, details) "
        "VALUES (9, 'a', 'b', 'success', '', '{}')",
        "INSERT INTO audit_event (recorded_at, action, actor, outcome, study_instance_uid, details) "
        "VALUES ('2020-01-01', 'a', 'b', 'success', '', '{}')",
        "ALTER TABLE audit_event DISABLE TRIGGER ALL",
        "DROP TABLE audit_event CASCADE",
        "SET session_replication_role = replica",
        "SET ROLE overread",
        "CREATE TABLE public.other ()",
        "CREATE OR REPLACE FUNCTION audit_row_hash(event audit_event) RETURNS bytea LANGUAGE sql AS 'SELECT NULL'",
        "DELETE FROM job_transition",
    ],
)
def test_the_service_holds_no_right_to(trail: Any, service_url: str, statement: str) -> None:
    """Each way of changing the trail, or the guards around it, is refused for want of rights."""
    trail.write(1)

    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        _ask(service_url, statement)


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_event SET actor = 'x'", "DELETE FROM audit_event", "TRUNCATE audit_event"]
)
@pytest.mark.parametrize("mode", ["origin", "replica"])
def test_the_triggers_stop_a_superuser_too(trail: Any, statement: str, mode: str) -> None:
    """Who may do anything still has to switch the guard off first, and then it shows; replica mode does not."""
    trail.write(1)

    with pytest.raises(psycopg2.errors.CheckViolation, match="append-only"):
        _ask(trail.owner_url, f"SET session_replication_role = {mode}", statement)
    assert trail.verify().rows == 1


def test_a_row_of_any_program_joins_the_chain(trail: Any, service_url: str) -> None:
    """The previous release only inserts the plain columns; its rows are numbered and chained like ours."""
    trail.write(1)
    _ask(
        service_url,
        "INSERT INTO audit_event (action, actor, outcome, study_instance_uid, job_id, details) "
        "VALUES ('application-started', 'listener', 'success', '', NULL, '{}'), "
        "('x', 'y', 'success', '', 3, '{\"a\": 1.50}')",
    )

    assert trail.verify().rows == 3
    assert trail.verify().faults == ()


def test_a_switched_off_trigger_is_a_fault(trail: Any) -> None:
    """Rows that fit are not enough while the guard that keeps them is off."""
    trail.write(1)
    trail.as_owner("ALTER TABLE audit_event DISABLE TRIGGER audit_event_is_append_only")

    assert "audit_event_is_append_only" in trail.verify().faults[0]


def test_the_remedy_for_a_guard_puts_it_right(trail: Any) -> None:
    """Plain ENABLE TRIGGER leaves it off for some sessions and is still told; what the sentence says mends it."""
    trail.as_owner("ALTER TABLE audit_event DISABLE TRIGGER audit_event_is_append_only")
    trail.as_owner("ALTER TABLE audit_event ENABLE TRIGGER audit_event_is_append_only")
    (told,) = guard(trail.database).broken

    trail.as_owner(told.split("`")[1])

    assert guard(trail.database).broken == ()


def test_who_could_undo_the_trail_is_told(trail: Any) -> None:
    """The service's role is as it should be; a superuser is told that it could switch the guards off."""
    owner = open_database(trail.owner_url, "test")
    try:
        assert guard(trail.database) == Guard((), (), SERVICE_ROLE, may_add=True)
        assert guard(trail.database).assurance.startswith(
            f"The role {SERVICE_ROLE} can add audit rows, and can neither"
        )
        assert "is a superuser" in guard(owner).weak[0]
        assert guard(owner).assurance == ""
    finally:
        owner.close()


@pytest.mark.parametrize(
    "right",
    [
        *("UPDATE (actor) ON audit_event", "UPDATE ON audit_event", "DELETE ON audit_event", "TRUNCATE ON audit_event"),
        *("UPDATE (rows) ON audit_head", "INSERT ON audit_head", "DELETE ON audit_head", "TRUNCATE ON audit_head"),
    ],
)
def test_no_right_too_many_goes_unnoticed(trail: Any, right: str) -> None:
    """A right on one column, or on the table that remembers the end, is told as one on the whole trail is."""
    trail.as_owner(f"GRANT {right} TO {SERVICE_ROLE}")

    assert "holds rights to change the audit trail" in guard(trail.database).weak[0]
    assert guard(trail.database).assurance == ""


def test_a_role_that_only_reads_is_not_said_to_add(trail: Any) -> None:
    """The sentence tells what is so, also for a role that a hospital made itself."""
    columns = "action, actor, outcome, study_instance_uid, job_id, details"
    trail.as_owner(f"REVOKE INSERT ({columns}) ON audit_event FROM {SERVICE_ROLE}")

    assert "can add no audit rows" in guard(trail.database).assurance


def test_the_page_shows_the_rights_that_are_given() -> None:
    """docs/reference/database-roles.md and the code hold the same statements."""
    shown = _statements()

    assert [f"{wording.format(role='overread_app')};" for wording in SERVICE_RIGHTS] == shown[6:11]


def _questions() -> list[str]:
    page = _PAGE.with_name("audit-queries.md").read_text(encoding="utf-8")
    return re.findall(r"```sql\n(.*?)```", page, re.DOTALL)


def _statements() -> list[str]:
    blocks = re.findall(r"```sql\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture
def hospital_server(postgres_server: str) -> Iterator[dict[str, str]]:
    """The page's roles and database on a server of the hospital, under names of this test; URLs by role."""
    mark = secrets.token_hex(4)
    roles = {role: f"{role}_{mark}" for role in ("overread_owner", "overread_app", "overread_auditor")}

    def ours(statement: str) -> str:
        for role, name in roles.items():
            statement = re.sub(rf"\b{role}\b", name, statement)
        return re.sub(r"(DATABASE) overread\b", rf"\1 hospital_{mark}", statement)

    _ask(postgres_server, *map(ours, _statements()[:6]))
    parts = urlsplit(postgres_server)
    host = parts.query
    passwords = {
        "overread_owner": "change%20me",
        "overread_app": "change%20me%20too",
        "overread_auditor": "change%20me%20as%20well",
    }
    yield {
        **{role: f"postgresql://{name}:{passwords[role]}@/hospital_{mark}?{host}" for role, name in roles.items()},
        "superuser": parts._replace(path=f"/hospital_{mark}").geturl(),
        "reassign": ours(_statements()[15]),
        "auditor": ";".join(map(ours, _statements()[11:15])),
    }
    _ask(
        postgres_server,
        f"DROP DATABASE hospital_{mark} WITH (FORCE)",
        *(f"DROP ROLE {name}" for name in roles.values()),
    )


def _settings(url: str, owner_url: str = "") -> Settings:
    return Settings.model_construct(database=DatabaseSettings(url=url, owner_url=owner_url))


def _guard(url: str) -> Guard:
    database = open_database(url, "test")
    try:
        return guard(database)
    finally:
        database.close()


def test_the_roles_of_the_page_leave_the_service_without_rights_on_the_trail(hospital_server: dict[str, str]) -> None:
    """As the page says: the owner upgrades, the service adds audit rows but cannot change them, the auditor reads."""
    app, owner, auditor = (hospital_server[f"overread_{role}"] for role in ("app", "owner", "auditor"))
    upgrade_configured(_settings(app, owner))
    _ask(owner, hospital_server["auditor"])

    assert schema.check(app)
    assert _guard(app) == Guard((), (), urlsplit(app).username or "", may_add=True)
    assert "owns audit_event" in _guard(owner).weak[0]
    _ask(
        app,
        "INSERT INTO audit_event (action, actor, outcome, study_instance_uid, details) "
        "VALUES ('a', 'b', 'success', '', '{}')",
    )
    assert _ask(auditor, "SELECT count(*) FROM audit_event") == [(1,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        _ask(app, "DELETE FROM audit_event")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        _ask(auditor, "INSERT INTO audit_event (action) VALUES ('a')")
    for question in _questions():
        _ask(auditor, re.sub(r":'\w+'", "'1.2.3'", question))
    for secret in ("account", "web_session"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            _ask(auditor, f"TABLE {secret}")


def test_a_database_of_one_role_is_told_and_can_be_put_right(hospital_server: dict[str, str]) -> None:
    """A service that owns its tables works, is told so, and owns nothing any more after what the page says."""
    app, owner = hospital_server["overread_app"], hospital_server["overread_owner"]
    _ask(hospital_server["superuser"], f"GRANT CREATE ON SCHEMA public TO {urlsplit(app).username}")
    upgrade_configured(_settings(app))
    before = _guard(app)
    _ask(hospital_server["superuser"], hospital_server["reassign"])
    upgrade_configured(_settings(app, owner))

    assert "owns audit_event" in before.weak[0]
    assert _guard(app) == Guard((), (), urlsplit(app).username or "", may_add=True)


def test_a_service_that_may_not_upgrade_says_who_may(hospital_server: dict[str, str]) -> None:
    """The sentence names the setting that is missing."""
    with pytest.raises(SchemaOutdated, match="owner_url"):
        upgrade_configured(_settings(hospital_server["overread_app"]))


def test_the_embedded_server_gives_the_service_an_ordinary_role(service_url: str) -> None:
    """It connects as a role without any attribute of an administrator."""
    assert _ask(
        service_url,
        "SELECT current_user, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls "
        "FROM pg_roles WHERE rolname = current_user",
    ) == [(SERVICE_ROLE, False)]
