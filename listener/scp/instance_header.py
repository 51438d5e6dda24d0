"""The few attributes we read at the door: strict on identity, tolerant of everything else."""

import codecs
import zlib
from datetime import date
from functools import lru_cache

from pydicom.charset import decode_bytes, python_encoding

from listener.errors import UnacceptableIdentity
from listener.scp.presentation_contexts import DEFLATED_TRANSFER_SYNTAXES
from storage.domain.element_walk import Encoding, wanted_values
from storage.domain.identifiers import checked_uid
from storage.domain.study import InstanceHeader, QuarantineReason
from storage.errors import InvalidIdentifier, UnreadableDataSet

# Bytes: nearly every header lies in the first so many; one whose identity lies behind the second is refused.
HEADER_LIMITS = (64 * 1024, 1024 * 1024)
_TEXT_LIMIT = 256  # characters; the Standard's limits are 16 and 64
_INTEGER_LIMIT = 2**31
_ESCAPE = b"\x1b"

_IMPLICIT_LITTLE = "1.2.840.10008.1.2"
_EXPLICIT_BIG = "1.2.840.10008.1.2.2"

_SPECIFIC_CHARACTER_SET = 0x00080005
_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018
_STUDY_DATE = 0x00080020
_ACCESSION_NUMBER = 0x00080050
_MODALITY = 0x00080060
_SERIES_DESCRIPTION = 0x0008103E
_PATIENT_ID = 0x00100020
_ISSUER_OF_PATIENT_ID = 0x00100021
_BODY_PART_EXAMINED = 0x00180015
_STUDY_INSTANCE_UID = 0x0020000D
_SERIES_INSTANCE_UID = 0x0020000E
_SERIES_NUMBER = 0x00200011
_INSTANCE_NUMBER = 0x00200013

_WANTED = frozenset(
    {_SPECIFIC_CHARACTER_SET, _SOP_CLASS_UID, _SOP_INSTANCE_UID, _STUDY_DATE, _ACCESSION_NUMBER, _MODALITY}
    | {_SERIES_DESCRIPTION, _PATIENT_ID, _ISSUER_OF_PATIENT_ID, _BODY_PART_EXAMINED, _STUDY_INSTANCE_UID}
    | {_SERIES_INSTANCE_UID, _SERIES_NUMBER, _INSTANCE_NUMBER}
)


def read_header(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, data_set: bytes) -> InstanceHeader:
    """Read the header of a received data set; the first two UIDs are those it was sent under.

    Raises:
        UnreadableDataSet: the bytes are not a data set in this transfer syntax.
        UnacceptableIdentity: a UID is missing, malformed or differs from those.
    """
    values = wanted_values(_readable(data_set, transfer_syntax_uid), _encoding(transfer_syntax_uid), _WANTED)
    study_instance_uid = _identity(values, _STUDY_INSTANCE_UID, "StudyInstanceUID")
    series_instance_uid = _identity(values, _SERIES_INSTANCE_UID, "SeriesInstanceUID", study_instance_uid)
    for tag, keyword, commanded in (
        (_SOP_CLASS_UID, "SOPClassUID", sop_class_uid),
        (_SOP_INSTANCE_UID, "SOPInstanceUID", sop_instance_uid),
    ):
        if _identity(values, tag, keyword, study_instance_uid) != commanded:
            raise UnacceptableIdentity(QuarantineReason.IDENTITY_MISMATCH, study_instance_uid)
    encodings = _text_encodings(values.get(_SPECIFIC_CHARACTER_SET, b""))
    return InstanceHeader(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        transfer_syntax_uid=transfer_syntax_uid,
        patient_id=_patient_text(values.get(_PATIENT_ID, b""), encodings),
        issuer_of_patient_id=_patient_text(values.get(_ISSUER_OF_PATIENT_ID, b""), encodings),
        accession_number=_text(values.get(_ACCESSION_NUMBER, b""), encodings),
        study_date=_date(values.get(_STUDY_DATE, b"")),
        modality=_text(values.get(_MODALITY, b""), ["ascii"]),
        body_part_examined=_text(values.get(_BODY_PART_EXAMINED, b""), ["ascii"]),
        series_description=_text(values.get(_SERIES_DESCRIPTION, b""), encodings),
        series_number=_integer(values.get(_SERIES_NUMBER, b"")),
        instance_number=_integer(values.get(_INSTANCE_NUMBER, b"")),
    )


def _readable(data_set: bytes, transfer_syntax_uid: str) -> bytes:
    if transfer_syntax_uid not in DEFLATED_TRANSFER_SYNTAXES:
        return data_set
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data_set, HEADER_LIMITS[-1])
    except zlib.error:
        raise UnreadableDataSet() from None


def _encoding(transfer_syntax_uid: str) -> Encoding:
    return Encoding(
        implicit_vr=transfer_syntax_uid == _IMPLICIT_LITTLE, big_endian=transfer_syntax_uid == _EXPLICIT_BIG
    )


def _identity(values: dict[int, bytes], tag: int, keyword: str, study_instance_uid: str = "") -> str:
    value = values.get(tag, b"").rstrip(b"\x00 ")  # the Standard pads with NUL; a space is a common mistake
    if not value:
        raise UnacceptableIdentity(QuarantineReason.IDENTITY_MISMATCH, study_instance_uid)
    try:
        return checked_uid(value.decode("ascii", errors="replace"), keyword)
    except InvalidIdentifier as error:
        raise UnacceptableIdentity(QuarantineReason.MALFORMED_IDENTIFIER, study_instance_uid) from error


@lru_cache(maxsize=256)
def _text_encodings(specific_character_set: bytes) -> list[str]:
    """Python codecs for the character sets named; latin-1, which decodes anything, for what is unknown."""
    terms = specific_character_set.decode("ascii", errors="replace").split("\\")
    codecs_named = [python_encoding.get(term.strip("\x00 "), "latin-1") for term in terms]
    return [codec if _exists(codec) else "latin-1" for codec in codecs_named]


def _exists(codec: str) -> bool:
    try:
        codecs.lookup(codec)
    except LookupError:
        return False
    return True


def _text(value: bytes, encodings: list[str]) -> str:
    """Decoded, without control characters (PostgreSQL takes no NUL, a terminal should get no ESC), and not endless."""
    if _ESCAPE in value:  # code extensions (PS3.5 section 6.1.2.5)
        decoded = decode_bytes(value[: 4 * _TEXT_LIMIT], encodings, set())
    else:
        decoded = value.decode(encodings[0], errors="replace")
    if not decoded.isprintable():
        decoded = "".join(character for character in decoded if character.isprintable())
    return decoded[:_TEXT_LIMIT].strip()


def _patient_text(value: bytes, encodings: list[str]) -> str:
    """Like ``_text``, but what cannot be decoded or printed stays as a backslash and its number.

    Two patients whose IDs differ in such bytes alone must not become one. A value of these attributes holds no
    backslash of its own (PS3.5 section 6.2, LO).
    """
    trimmed = value[: 4 * _TEXT_LIMIT].strip(b"\x00 ")
    decoded = trimmed.decode(encodings[0], errors="backslashreplace")
    if _ESCAPE in trimmed:
        decoded = decode_bytes(trimmed, encodings, set())
        if "\N{REPLACEMENT CHARACTER}" in decoded:
            decoded = trimmed.decode("ascii", errors="backslashreplace")
    if not decoded.isprintable():
        decoded = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
            for character in decoded
        )
    return decoded[:_TEXT_LIMIT].strip()


def _date(value: bytes) -> date | None:
    """A DA value (PS3.5 section 6.2); anything else is as good as none."""
    digits = value.strip(b"\x00 ")
    if len(digits) != 8 or not digits.isdigit():
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def _integer(value: bytes) -> int | None:
    """The first IS value (PS3.5 section 6.2); anything else is as good as none."""
    digits = value.split(b"\\")[0].strip(b"\x00 ")
    if len(digits) > 12 or not digits.lstrip(b"+-").isdigit():
        return None
    try:
        number = int(digits)
    except ValueError:
        return None
    return number if -_INTEGER_LIMIT <= number < _INTEGER_LIMIT else None
