"""Every fixture of the peers, for `pytest_plugins`."""

from tests.peers.commitment_pacs import commitment_pacs
from tests.peers.dcmtk import storescu
from tests.peers.dcmtk_servers import start_dcmqrscp, start_storescp
from tests.peers.evidence_files import freeze_evidence
from tests.peers.orthanc import orthanc, start_orthanc
from tests.peers.postgres_server import tcp_server
from tests.peers.recording_pacs import recording_pacs
from tests.peers.stow_archive import stow_archive

__all__ = [
    "commitment_pacs",
    "freeze_evidence",
    "orthanc",
    "recording_pacs",
    "start_dcmqrscp",
    "start_orthanc",
    "start_storescp",
    "storescu",
    "stow_archive",
    "tcp_server",
]
