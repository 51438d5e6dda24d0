"""What a series says of itself that the rules of routes may ask for, read once when its first instance is imported.

None of it is read at the door. Text is decoded by the first character set that is named (PS3.3 section C.12.1.1.2);
code extensions (PS3.5 section 6.1.2.5) are not followed, so of such text only what that set has can be compared.
"""

from dataclasses import dataclass, fields

from storage.domain.element_walk import Encoding, wanted_values
from storage.errors import UnreadableDataSet

TAGS: dict[str, int] = {
    "manufacturer": 0x00080070,
    "institution_name": 0x00080080,
    "station_name": 0x00081010,
    "study_description": 0x00081030,
    "institutional_department_name": 0x00081040,
    "manufacturer_model_name": 0x00081090,
    "protocol_name": 0x00181030,
    "requested_procedure_description": 0x00321060,
    "requested_procedure_priority": 0x00401003,
}
_SPECIFIC_CHARACTER_SET = 0x00080005
_WANTED = frozenset({_SPECIFIC_CHARACTER_SET, *TAGS.values()})
_TEXT_LIMIT = 256  # bytes; the Standard's limits are 16 and 64 characters

# Defined terms without code extensions, and those with them of the same sets, as Python's codecs.
_CODECS: dict[str, str] = {
    "ISO_IR 13": "shift_jis",
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4",
    "ISO_IR 126": "iso8859-7",
    "ISO_IR 127": "iso8859-6",
    "ISO_IR 138": "iso8859-8",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 148": "iso8859-9",
    "ISO_IR 166": "tis-620",
    "ISO_IR 192": "utf-8",
    "ISO_IR 203": "iso8859-15",
    "GB18030": "gb18030",
    "GBK": "gbk",
}

_IMPLICIT_LITTLE = "1.2.840.10008.1.2"
_EXPLICIT_BIG = "1.2.840.10008.1.2.2"


@dataclass(frozen=True, slots=True)
class SeriesAttributes:
    """The attributes by their names in the Standard, in snake case; empty text for what is absent."""

    manufacturer: str = ""
    institution_name: str = ""
    station_name: str = ""
    study_description: str = ""
    institutional_department_name: str = ""
    manufacturer_model_name: str = ""
    protocol_name: str = ""
    requested_procedure_description: str = ""
    requested_procedure_priority: str = ""


def series_attributes(head: bytes, transfer_syntax_uid: str) -> SeriesAttributes | None:
    """What the part of a data set before its pixels says; ``None`` when it cannot be read.

    Never raises on what a peer sent.
    """
    encoding = Encoding(transfer_syntax_uid == _IMPLICIT_LITTLE, transfer_syntax_uid == _EXPLICIT_BIG)
    try:
        found = wanted_values(head, encoding, _WANTED)
    except UnreadableDataSet:
        return None
    codec = _codec(found.get(_SPECIFIC_CHARACTER_SET, b""))
    return SeriesAttributes(
        **{field.name: _text(found.get(TAGS[field.name], b""), codec) for field in fields(SeriesAttributes)}
    )


def _codec(specific_character_set: bytes) -> str:
    term = specific_character_set.decode("ascii", errors="replace").split("\\")[0].strip("\x00 ")
    return _CODECS.get(term.replace("ISO 2022 IR", "ISO_IR"), "latin-1")


def _text(value: bytes, codec: str) -> str:
    """Without what cannot be printed, and not endless."""
    decoded = value[:_TEXT_LIMIT].decode(codec, errors="replace")
    return "".join(character for character in decoded if character.isprintable()).strip()
