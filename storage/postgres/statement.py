"""The statements whose wording matters, one file each in `statements/`, so that they can be pasted into psql."""

from functools import cache
from pathlib import Path

from sqlalchemy import TextClause, text


@cache
def statement(name: str) -> TextClause:
    """The statement in ``statements/<name>.sql``; parameters are written ``:name``."""
    return text((Path(__file__).parent / "statements" / f"{name}.sql").read_text(encoding="utf-8"))
