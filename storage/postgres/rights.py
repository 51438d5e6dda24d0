"""What the service may do in the database: its work on every table, and nothing to the audit trail but add and read."""

from sqlalchemy import make_url, text

from storage.errors import StorageError
from storage.postgres.engine import named_errors, open_engine

# docs/reference/database-roles.md shows the same statements; a test holds the two equal.
SERVICE_RIGHTS = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "REVOKE ALL ON audit_event, audit_head, job_transition, proof_transition, alembic_version FROM {role}",
    "GRANT SELECT ON audit_event, audit_head, job_transition, proof_transition, alembic_version TO {role}",
    "GRANT INSERT (action, actor, outcome, study_instance_uid, job_id, details) ON audit_event TO {role}",
)


def grant_service_rights(owner_url: str, role: str) -> None:
    """Give a role what the service needs, and take from it what it must not have; again after each upgrade.

    Raises:
        DatabaseUnavailable: the server does not answer.
        StorageError: there is no such role, or the URL is not that of the tables' owner.
    """
    engine = open_engine(owner_url, "overread rights", pooled=False)
    quoted = engine.dialect.identifier_preparer.quote(role)
    with named_errors(), engine.begin() as connection:
        for wording in SERVICE_RIGHTS:
            connection.execute(text(wording.format(role=quoted)))


def role_of(url: str) -> str:
    """The role that a URL connects as.

    Raises:
        StorageError: the URL names none.
    """
    name = make_url(url).username
    if not name:
        raise StorageError("[database] url names no role, so none can be given its rights; write postgresql://ROLE@….")
    return name
