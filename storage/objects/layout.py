"""Where files are: names come from digests and from our own random identifiers, never from the wire."""

import hashlib
import secrets
import time
from pathlib import Path

from storage.objects.durable import make_folder

WRITER_LOCK = "writer.lock"
WRITTEN_BOARD = "written"
IMPORTED_BOARD = "imported"
COMPILED_NETWORKS = "compiled-networks"  # in the data folder, <artifact's digest>/: made by workers for their devices


def new_entry_id() -> str:
    """A name for something that arrived now: sorts by time of arrival, unique across processes."""
    return f"{time.time_ns():020d}-{secrets.token_hex(8)}"


class DataFolder:
    """The data folder of one installation; making the object makes the folders, durably and for us alone.

    Everything lies in one file system, because instances move from the spool to the objects by a hard link.

    Raises:
        OSError: a folder cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.logs = root / "spool" / "log"  # <number>/: the segments of one writer (docs/decisions/0010)
        self.large = root / "spool" / "large"  # <entry id>.dcm: instances that are too large for a log
        self.claims = root / "spool" / "claims.table"  # whose a UID is until it has its object
        self.full_studies = root / "spool" / "full-studies"  # <digest>: studies that may have no more
        self.objects = root / "objects"
        self.quarantined_objects = root / "quarantine"
        self.evidence = root / "evidence"
        self.commitments = root / "commitments"  # <id>.json, .report, .taken
        self.commitment_reports = root / "commitment-reports"  # <id>.json: what destinations told us
        self.availability = root / "availability"  # <id>.json: notifications of what peers hold
        for folder in (
            self.logs,
            self.large,
            self.full_studies,
            self.objects,
            self.quarantined_objects,
            self.evidence,
            self.commitments,
            self.commitment_reports,
            self.availability,
        ):
            make_folder(folder)

    @property
    def spool(self) -> Path:
        """The folder of everything that waits for its rows."""
        return self.root / "spool"

    def instance(self, sop_instance_uid: str) -> Path:
        """The Part 10 file of an instance that left the spool."""
        name = _name_of(sop_instance_uid)
        return self.objects / name[:2] / f"{name}.dcm"

    def evidence_file(self, sha256: str) -> Path:
        """The file of frozen evidence, or of a picture of it, with this digest."""
        return self.evidence / sha256[:2] / f"{sha256}.dcm"

    def quarantined(self, quarantine_id: str) -> Path:
        """The bytes that were set aside under this identifier: a data set, or a Part 10 file after a conflict."""
        return self.quarantined_objects / f"{quarantine_id}.bin"


def _name_of(sop_instance_uid: str) -> str:
    return hashlib.sha256(sop_instance_uid.encode()).hexdigest()
