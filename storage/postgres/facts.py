"""Rows as plain dictionaries that JSON can carry; times are ISO 8601 in UTC."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy.orm import Session

from storage.ports.facts import Facts
from storage.postgres.statement import statement


def ask(session: Session, name: str, **parameters: Any) -> list[Facts]:  # noqa: ANN401 - whatever a statement takes
    """The rows of a named statement."""
    return [as_facts(row._mapping) for row in session.execute(statement(name), parameters)]


def as_facts(row: Mapping[Any, Any]) -> Facts:
    """One row."""
    return {str(key): value.isoformat() if isinstance(value, date | datetime) else value for key, value in row.items()}
