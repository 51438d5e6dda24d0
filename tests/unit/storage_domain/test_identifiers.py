"""Identifiers of the Standard, checked where they enter."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.domain.identifiers import checked_uid, same_ae_title
from storage.errors import InvalidIdentifier


@pytest.mark.parametrize("uid", ["1", "0", "1.2.840.10008.1.1", "1.0.3", "1." + "2" * 62])
def test_a_uid_of_the_standard_is_accepted(uid: str) -> None:
    """Dotted decimal without leading zeros, up to 64 characters (PS3.5 section 9.1)."""
    assert checked_uid(uid, "StudyInstanceUID") == uid


@pytest.mark.parametrize(
    "uid",
    [
        "",
        ".",
        "1.",
        ".1",
        "1..2",
        "1.02",
        "00",
        "1.2.a",
        "1.2 ",
        " 1.2",
        "1.2\n",
        "../1",
        "/1",
        "1\x00",
        "1.٢",
        "1" * 65,
    ],
)
def test_anything_else_is_refused_without_being_repeated(uid: str) -> None:
    """The error names the attribute and never the value, which may carry anything."""
    with pytest.raises(InvalidIdentifier) as caught:
        checked_uid(uid, "SOPInstanceUID")

    assert str(caught.value) == "SOPInstanceUID is not a valid UID (PS3.5 section 9.1); correct it at the sender."


@given(st.text(max_size=70))
def test_only_digits_and_dots_ever_pass(text: str) -> None:
    """Whatever arrives, what is accepted can neither be a path nor hold a control character."""
    try:
        accepted = checked_uid(text, "StudyInstanceUID")
    except InvalidIdentifier:
        return
    assert re.fullmatch(r"[0-9.]{1,64}", accepted, re.ASCII)


def test_ae_titles_are_compared_without_outer_spaces() -> None:
    """Leading and trailing spaces do not count, inner ones and case do (PS3.5 section 6.2)."""
    assert same_ae_title("CT1  ", " CT1")
    assert not same_ae_title("CT 1", "CT1")
    assert not same_ae_title("ct1", "CT1")
