"""What a client will take (PS3.18 section 8.7): the Accept header, most wanted first."""

import re
from dataclasses import dataclass

from fastapi import Request
from starlette.exceptions import HTTPException

from listener.web.multipart_reader import content_type_of

_OUTSIDE_QUOTES = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
_LENGTH_LIMIT = 4096
ANY = "*"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One media type that the client names.

    ``part_type`` is the type parameter of multipart/related, ``transfer_syntax`` that parameter; ``*`` takes any,
    empty means that none was given.
    """

    media_type: str
    part_type: str = ""
    transfer_syntax: str = ""
    weight: float = 1.0

    @property
    def multipart(self) -> bool:
        """Whether an answer of several parts is taken."""
        return self.media_type in ("multipart/related", "multipart/*", "*/*")

    def takes_part(self, media_type: str) -> bool:
        """Whether parts of this media type are taken."""
        return self.multipart and _matches(self.part_type or "*/*", media_type)

    def takes(self, media_type: str) -> bool:
        """Whether an answer of this media type, in one part, is taken."""
        return _matches(self.media_type, media_type)

    def takes_syntax(self, transfer_syntax_uid: str) -> bool:
        """Whether this transfer syntax is taken; where none is named, any is."""
        return self.transfer_syntax in ("", ANY, transfer_syntax_uid)


def wanted(request: Request) -> list[Wanted]:
    """What the client takes, most wanted first; one that says nothing takes anything.

    Raises:
        HTTPException: 406, the header is too long to be meant.
    """
    value = ", ".join(request.headers.getlist("accept"))
    if len(value) > _LENGTH_LIMIT:
        raise HTTPException(406, "The Accept header is too long.")
    named = [_read(item) for item in _OUTSIDE_QUOTES.split(value) if item.strip()] or [Wanted("*/*")]
    return sorted((each for each in named if each.weight > 0), key=lambda each: -each.weight)


def require_json(request: Request) -> None:
    """Refuse a client that takes no DICOM JSON.

    Raises:
        HTTPException: 406.
    """
    if not any(each.takes("application/dicom+json") or each.takes("application/json") for each in wanted(request)):
        raise HTTPException(406, "This is answered as application/dicom+json only; accept that.")


def _read(item: str) -> Wanted:
    found = content_type_of(item)
    parameters = found.parameters
    try:
        weight = float(parameters.get("q", "1"))
    except ValueError:
        weight = 0.0
    return Wanted(found.media_type, parameters.get("type", "").lower(), parameters.get("transfer-syntax", ""), weight)


def _matches(pattern: str, media_type: str) -> bool:
    kind, _, subtype = pattern.partition("/")
    known_kind, _, known_subtype = media_type.partition("/")
    return kind in (ANY, known_kind) and subtype in (ANY, "", known_subtype)
