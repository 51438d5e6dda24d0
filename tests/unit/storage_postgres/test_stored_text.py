"""Text from the wire as PostgreSQL can hold it."""

from hypothesis import given
from hypothesis import strategies as st

from storage.postgres.stored_text import stored_number, stored_text


@given(st.text(st.characters(codec=None)))
def test_stored_text_is_what_postgresql_can_hold(text: str) -> None:
    """NUL and lone surrogates are replaced, and clean text stays as it is."""
    stored = stored_text(text)

    assert "\x00" not in stored
    assert stored.encode("utf-8").decode("utf-8") == stored
    assert stored_text(stored) == stored


def test_numbers_beyond_the_column_are_left_out() -> None:
    """A number that no bigint holds is treated as absent."""
    assert [stored_number(number) for number in (None, 7, -(2**63), 2**63)] == [None, 7, -(2**63), None]
