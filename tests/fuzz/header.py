"""Any bytes have a header, or are unreadable, or name another identity; so have requests and notifications."""

import warnings
import zlib
from contextlib import suppress

from listener.errors import UnacceptableIdentity
from listener.scp.availability import read_notice
from listener.scp.commitment import read_request
from listener.scp.instance_header import read_header
from listener.scp.limits import COMMITMENT_REFERENCES
from storage.domain.identifiers import is_uid
from storage.errors import UnreadableDataSet
from tests.peers.raw_sender import CT, ct_data_set, element

_SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"),
    "1.2.840.10008.1.2.4.90",
)
_UID = "1.2.3.4"
_SEQUENCE = b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
_ENDS = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_IMPLICIT = (
    b"\x08\x00\x16\x00\x1a\x00\x00\x00" + CT.encode() + b"\x00" + b"\x08\x00\x18\x00\x08\x00\x00\x001.2.3.4\x00"
    b"\x20\x00\x0d\x00\x06\x00\x00\x001.2.3\x00\x20\x00\x0e\x00\x04\x00\x00\x001.2\x00"
)
_EXPLICIT = ct_data_set(_UID)
_REFERENCE = element(0x0008, 0x1150, b"UI", CT.encode()) + element(0x0008, 0x1155, b"UI", b"1.2.3.4")
_COMMITMENT = b"%b\x08\x00\x99\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0%b%b\xfe\xff\xdd\xe0%b" % (
    element(0x0008, 0x1195, b"UI", b"1.2.3.9"),
    len(_REFERENCE).to_bytes(4, "little"),
    _REFERENCE,
    bytes(4),
)

_SERIES = b"\x08\x00\x99\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0%b%b\xfe\xff\xdd\xe0%b" % (
    len(_REFERENCE).to_bytes(4, "little"),
    _REFERENCE,
    bytes(4),
)
_NOTICE = b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0%b%b\xfe\xff\xdd\xe0%b%b" % (
    len(_SERIES).to_bytes(4, "little"),
    _SERIES,
    bytes(4),
    element(0x0020, 0x000D, b"UI", b"1.2.3\x00"),
)

SEEDS = (
    b"\x00" + _IMPLICIT,
    b"\x01" + _EXPLICIT,
    b"\x01" + element(0x0008, 0x0005, b"CS", b"ISO 2022 IR 87\\ISO_IR 192") + _EXPLICIT[:60] + _SEQUENCE + _ENDS,
    b"\x01"
    + element(0x0008, 0x0005, b"CS", b"\\ISO 2022 IR 149")
    + _EXPLICIT.replace(b"CANARY-ID", b"\x1b$)C\xb1\xe8\xb9"),
    b"\x02\x00\x08\x00\x16UI\x00\x021\x00",
    b"\x03" + zlib.compress(_EXPLICIT, wbits=-zlib.MAX_WBITS),
    b"\x01" + _COMMITMENT,
    b"\x01" + _NOTICE,
    b"\x04" + _EXPLICIT + b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff",
)

warnings.simplefilter("ignore")  # pydicom warns of character sets


def check(data: bytes) -> None:
    """Read it in the transfer syntax that its first byte names."""
    syntax = _SYNTAXES[(data[:1] + b"\x00")[0] % len(_SYNTAXES)]
    with suppress(UnreadableDataSet):
        transaction_uid, references = read_request(data[1:], syntax)
        assert is_uid(transaction_uid)
        assert 0 < len(references) <= COMMITMENT_REFERENCES
    with suppress(UnreadableDataSet):
        study_instance_uid, uids = read_notice(data[1:], syntax)
        assert is_uid(study_instance_uid)
        assert len(uids) <= COMMITMENT_REFERENCES
    try:
        header = read_header(CT, _UID, syntax, data[1:])
    except (UnreadableDataSet, UnacceptableIdentity):
        return
    assert header.sop_instance_uid == _UID
    for text in (header.patient_id, header.accession_number, header.modality, header.series_description):
        assert len(text) <= 256, "a text without end"
        assert all(character.isprintable() for character in text), "what no terminal should get"
