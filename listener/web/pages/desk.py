"""What the pages are made from."""

from collections.abc import Callable
from dataclasses import dataclass

from listener.scu.settings import DestinationSettings
from listener.web.viewer.links import ViewerLinks
from storage.domain.algorithm import RegisteredAlgorithm
from storage.ports.accounts import AccountDirectory
from storage.ports.algorithms import AlgorithmCatalog
from storage.ports.audit import AuditTrail
from storage.ports.feedback import FeedbackBook
from storage.ports.jobs import JobDesk
from storage.ports.objects import EvidenceStore
from storage.ports.reading import Monitoring, SiteReading
from storage.ports.studies import StudyExplainer

SUMMARY_DAYS = 7


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What waits in the spool, and what the disk under the data folder has left."""

    spool_entries: int
    spool_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Desk:
    """Every port a page may ask, in one place; `listener.web.main` fills it."""

    reading: SiteReading
    monitoring: Monitoring
    explainer: StudyExplainer
    feedback: FeedbackBook
    jobs: JobDesk
    accounts: AccountDirectory
    algorithms: AlgorithmCatalog
    trail: AuditTrail
    evidence: EvidenceStore
    card: Callable[[RegisteredAlgorithm], str]
    disk_use: Callable[[], DiskUse]  # raises OSError
    destinations: tuple[DestinationSettings, ...]
    links: ViewerLinks
