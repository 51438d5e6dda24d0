"""Identifiers of the DICOM Standard, checked where they enter."""

import re

from storage.errors import InvalidIdentifier

_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*", re.ASCII)
_UID_LIMIT = 64


def checked_uid(value: str, attribute: str) -> str:
    """Return ``value`` if it is a UID as PS3.5 section 9.1 defines it.

    ``attribute`` is the keyword named in the error, such as ``StudyInstanceUID``; the value itself is
    never repeated there, because a malformed one may carry anything.

    Raises:
        InvalidIdentifier: the value is empty, longer than 64 characters or not dotted decimal.
    """
    if not is_uid(value):
        raise InvalidIdentifier(f"{attribute} is not a valid UID (PS3.5 section 9.1); correct it at the sender.")
    return value


def is_uid(value: str) -> bool:
    """Whether ``value`` is a UID as PS3.5 section 9.1 defines it."""
    return len(value) <= _UID_LIMIT and _UID.fullmatch(value) is not None


def same_ae_title(one: str, other: str) -> bool:
    """Whether two AE titles are equal; leading and trailing spaces do not count (PS3.5 section 6.2, AE)."""
    return one.strip(" ") == other.strip(" ")
