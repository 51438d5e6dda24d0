"""A peer that sends bytes exactly as given, also those that no honest toolkit would send, and looks at what is kept."""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import psycopg2
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from listener.scu.checkpoint import hold_answers
from tests.peers.spool_content import waiting_digests

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


@contextmanager
def associated(
    port: int,
    called: str = "OVERREAD",
    contexts: tuple[tuple[str, str], ...] = ((CT, EXPLICIT),),
    calling: str = "PEER",
) -> Iterator[Association]:
    """A peer's association, released at the end if it still stands."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    for abstract_syntax, transfer_syntax in contexts:
        entity.add_requested_context(abstract_syntax, transfer_syntax)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    if association.is_established:
        hold_answers(association)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def send(
    association: Association, data_set: bytes, sop_instance_uid: str, message_id: int = 1, sop_class_uid: str = CT
) -> int | None:
    """Send these very bytes in a C-STORE request under the first context; the status, or ``None`` without an answer."""
    request = C_STORE()
    request.MessageID = message_id
    request.AffectedSOPClassUID = UID(sop_class_uid)
    request._affected_sop_instance_uid = UID(sop_instance_uid, validation_mode=0)  # also what the toolkit refuses
    request.Priority = 2
    request.DataSet = io.BytesIO(data_set)
    association._reactor_checkpoint.clear()
    while not association._is_paused:
        pass
    try:
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
        _, answer = association.dimse.get_msg(block=True)
    finally:
        association._reactor_checkpoint.set()
    return None if answer is None else cast(int, answer.Status)


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """One short element in explicit VR little endian."""
    value += (b"\x00" if vr == b"UI" else b" ") * (len(value) % 2)
    return group.to_bytes(2, "little") + number.to_bytes(2, "little") + vr + len(value).to_bytes(2, "little") + value


def ct_data_set(sop_instance_uid: str, text: bytes = b"x", study: str = "1.2.3", series: str = "") -> bytes:
    """A small CT data set in explicit VR little endian, with a private element that must survive as it is."""
    return b"".join(
        (
            element(0x0008, 0x0016, b"UI", CT.encode()),
            element(0x0008, 0x0018, b"UI", sop_instance_uid.encode()),
            element(0x0008, 0x0060, b"CS", b"CT"),
            element(0x0009, 0x0010, b"LO", b"PRIVATE"),
            element(0x0009, 0x1001, b"LO", text),
            element(0x0010, 0x0010, b"PN", b"CANARY^NAME"),
            element(0x0010, 0x0020, b"LO", b"CANARY-ID"),
            element(0x0020, 0x000D, b"UI", study.encode()),
            element(0x0020, 0x000E, b"UI", (series or f"{study}.1").encode()),
            element(0x0020, 0x0013, b"IS", b"1"),
        )
    )


def pixels(size: int) -> bytes:
    """A Pixel Data element of this many bytes, to stand behind a data set in explicit VR little endian."""
    return bytes.fromhex("e07f1000") + b"OW\0\0" + size.to_bytes(4, "little") + bytes(size)


def kept_digests(data_dir: Path) -> dict[str, str]:
    """SOP Instance UID and SHA-256 of every data set in the spool or the objects, read from the files themselves."""
    found = waiting_digests(data_dir)
    for path in (data_dir / "objects").rglob("*.dcm"):
        raw = path.read_bytes()
        meta = read_file_meta_info(path)
        offset = 144 + meta.FileMetaInformationGroupLength
        found[str(meta.MediaStorageSOPInstanceUID)] = hashlib.sha256(raw[offset:]).hexdigest()
    return found


def rows(database_url: str, query: str) -> list[tuple]:
    """What a query returns."""
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()


def tree(folder: Path) -> set[str]:
    """Every path below a folder."""
    return {os.fspath(path.relative_to(folder)) for path in folder.rglob("*")}
