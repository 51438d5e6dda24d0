"""A small PACS for the demo: C-ECHO and C-STORE on this machine, one file for each instance."""

import contextlib
import hashlib
import os
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE, AllStoragePresentationContexts, VerificationPresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.transport import ThreadedAssociationServer

_TRANSFER_SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
]

_STORED = 0x0000
_DUPLICATE = 0x0111  # PS3.7 section C.5.6
_OUT_OF_RESOURCES = 0xA700  # PS3.4 section B.2.3
_CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True, slots=True)
class HeldObject:
    """One instance that the demo PACS holds; ``sha256`` is that of the data set as it was received."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    path: Path
    sha256: str
    received_count: int = 1


class DemoPacs:
    """Listens on a free port of 127.0.0.1 and keeps what it is sent in ``folder``.

    Success is answered only once the file is written and synced. A second send of the same bytes is a success without
    a copy; other bytes under a UID that is held are refused with 0x0111. It is a peer to look at results with, not an
    archive: what an earlier run left in the folder is not known to it.
    """

    def __init__(self, folder: Path, ae_title: str = "DEMOPACS") -> None:
        self._folder = folder
        self._ae_title = ae_title
        self._held: dict[str, HeldObject] = {}
        self._lock = threading.Lock()
        self._server: ThreadedAssociationServer | None = None

    def __enter__(self) -> "DemoPacs":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on; 0 while it does not."""
        if self._server is None or self._server.socket is None:
            return 0
        return int(self._server.socket.getsockname()[1])

    def start(self) -> int:
        """Listen and return the port. Raises OSError when the folder or a port cannot be had."""
        self._folder.mkdir(parents=True, exist_ok=True)
        entity = AE(ae_title=self._ae_title)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax or "", _TRANSFER_SYNTAXES)
        for context in VerificationPresentationContexts:
            entity.add_supported_context(context.abstract_syntax or "")
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        return self.port

    def stop(self) -> None:
        """Stop listening; what it holds stays in the folder."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def objects(self) -> list[HeldObject]:
        """What it holds, in the order of arrival."""
        with self._lock:
            return list(self._held.values())

    def _store(self, event: evt.Event) -> int:
        """Answer one C-STORE (PS3.4 section B.2.3)."""
        request = cast(C_STORE, event.request)
        sop_instance_uid = str(request.AffectedSOPInstanceUID)
        sha256 = hashlib.sha256(event.encoded_dataset(include_meta=False)).hexdigest()
        with self._lock:
            held = self._held.get(sop_instance_uid)
            if held is not None:
                return self._store_again(held, sha256)
            try:
                path = self._write(sop_instance_uid, event.encoded_dataset())
                study_instance_uid = str(dcmread(path, specific_tags=["StudyInstanceUID"]).get("StudyInstanceUID", ""))
            except OSError:
                return _OUT_OF_RESOURCES
            except (InvalidDicomError, ValueError, KeyError, EOFError):
                return _CANNOT_UNDERSTAND
            self._held[sop_instance_uid] = HeldObject(
                str(request.AffectedSOPClassUID), sop_instance_uid, study_instance_uid, path, sha256
            )
        return _STORED

    def _store_again(self, held: HeldObject, sha256: str) -> int:
        if held.sha256 != sha256:
            return _DUPLICATE
        self._held[held.sop_instance_uid] = replace(held, received_count=held.received_count + 1)
        return _STORED

    def _write(self, sop_instance_uid: str, part10: bytes) -> Path:
        """Write the file under a name that does not come from the wire, synced before it is given that name."""
        path = self._folder / f"{hashlib.sha256(sop_instance_uid.encode()).hexdigest()}.dcm"
        descriptor, draft = tempfile.mkstemp(dir=self._folder, suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(part10)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(draft).unlink()
            raise
        return path
