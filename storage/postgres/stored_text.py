"""Text from the wire as PostgreSQL can hold it."""

_BIGINT = range(-(2**63), 2**63)


def stored_text(value: str) -> str:
    """The text without what PostgreSQL refuses: NUL and lone surrogates.

    One such character in a Patient ID must not keep an acknowledged instance out of the rows for ever.
    """
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def stored_number(value: int | None) -> int | None:
    """The number, or ``None`` when it is larger than any the Standard allows and than the column holds."""
    return value if value is not None and value in _BIGINT else None
