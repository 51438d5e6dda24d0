"""What the tables are made of: their base, column types and the checks they share."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, DateTime, Double, Identity, MetaData, Text, func
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import DeclarativeBase, mapped_column

RowId = Annotated[int, mapped_column(BigInteger, Identity(always=True), primary_key=True)]
Big = Annotated[int, mapped_column(BigInteger)]
Token = Annotated[str, mapped_column(UUID(as_uuid=False))]
DatabaseTime = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Numbers = Annotated[list[float], mapped_column(ARRAY(Double))]
Json = Annotated[Any, mapped_column(JSONB)]


def listed(words: Iterable[str]) -> str:
    """Words as an SQL list; they are our own enumerations, so quoting them is safe."""
    return ", ".join(f"'{word}'" for word in words)


def one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    """The column holds one of these words, or nothing where it may be empty."""
    return CheckConstraint(f"{column} IN ({listed(words)})", name=f"{column}_known")


def sha256_check(column: str) -> CheckConstraint:
    """The column holds a SHA-256 as hexadecimal text in small letters."""
    return CheckConstraint(f"{column} ~ '^[0-9a-f]{{64}}$'", name=f"{column}_is_hexadecimal")


class Base(DeclarativeBase):
    """What all tables share: constraint names that can be told in an error, and times that know their zone."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map = {str: Text(), float: Double(), datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's own form
