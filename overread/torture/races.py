"""A delivery worker that was thought dead comes back while another one has its job.

Each race is one delivery. Its worker is held up before it sends, after it sent, or while it settles; meanwhile its
lease is made to run out, the housekeeper takes the job back and another worker claims it; then both go on at once.
Nothing may be settled twice, and the PACS may hold one content only under each UID.
"""

import hashlib
import logging
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt

from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from overread.torture.outcome import Outcome
from overread.torture.owed_results import FORMS, OwedResults, data_set_digest
from overread.torture.stand import Stand
from storage.domain.delivery import DeliveryStanding, SendOutcome
from storage.domain.job import ClaimedJob
from storage.domain.result import FrozenEvidence
from storage.errors import LeaseLost
from storage.housekeeping.rescue_leases import rescue_leases
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.delivery_log import PostgresDeliveryLog
from storage.postgres.engine import open_database
from storage.postgres.job_queue import PostgresJobQueue
from storage.settings import JobSettings

_JOBS = JobSettings(lease_seconds=600, delivery_give_up_hours=1000)
_MOST_DESTINATIONS = 500  # of one result: each gets the same two objects, and is one race
_MOMENTS = ("before it sends", "after it sent", "while it settles")
_DEADLINE_S = 60.0
# Let time pass, which the guard of jobs does not know as an event.
_RUN_OUT = """
SET session_replication_role = replica;
UPDATE job SET lease_expires_at = now() - interval '1 second' WHERE state = 'in_progress' AND kind = 'delivery'
"""
_NEXT = """
SET session_replication_role = replica;
UPDATE job SET due_at = 'epoch' WHERE state = 'scheduled' AND kind = 'delivery' AND attempt > 0
"""
_NOT_ONCE = """
SELECT count(*) FROM job
WHERE kind = 'delivery' AND (state <> 'completed' OR 1 <> (
    SELECT count(*) FROM audit_event WHERE audit_event.job_id = job.id AND action = 'job-completed'))
"""


def races(rounds: int, source: random.Random) -> Outcome:
    """Let so many deliveries be raced for by a stale worker and its successor; ``acknowledged`` are the objects."""
    outcome = Outcome("races", "")
    for logger in ("listener.scu", "storage.housekeeping", "pynetdicom"):
        logging.getLogger(logger).setLevel(logging.ERROR)  # each race is a lease that ran out
    with Stand("races") as stand, _Pacs() as pacs, _Course(stand, pacs, source) as course:
        for left in range(rounds, 0, -_MOST_DESTINATIONS):
            destinations = min(left, _MOST_DESTINATIONS)
            course.owe(destinations)
            for _ in range(destinations):
                course.race()
        course.finish()
        outcome.acknowledged = len(pacs.kept)
        met = ", ".join(f"{moment} {course.met[moment]}" for moment in _MOMENTS)
        outcome.done = (
            f"{rounds} stale delivery workers met their successors ({met}), {course.refused} settlements refused, "
            f"{pacs.sends} objects sent"
        )
        for fault in course.faults(rounds):
            outcome.fault(fault, stand)
    return outcome


@dataclass
class _Pacs:
    """Keeps the digest of every content it was sent, by called AE title and SOP Instance UID."""

    kept: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    sends: int = 0
    port: int = 0

    def __enter__(self) -> "_Pacs":
        entity = AE(ae_title="RACES")
        for sop_class, _ in FORMS.values():
            entity.add_supported_context(sop_class, ExplicitVRLittleEndian)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store)]
        server: Any = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self._server, self.port = server, server.socket.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    def _store(self, event: evt.Event) -> int:
        request: Any = event.assoc.requestor.primitive
        called = str(request.called_ae_title).strip()
        digest = hashlib.sha256(event.encoded_dataset(include_meta=False)).hexdigest()
        self.kept[called, str(event.file_meta.MediaStorageSOPInstanceUID)].add(digest)
        self.sends += 1
        return 0x0000


@dataclass
class _HeldUp:
    """A sender that stops at a moment until it is let go."""

    sender: StoreScu
    moment: str
    stopped: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def send(
        self,
        destination: DestinationSettings,
        evidence: Sequence[FrozenEvidence],
        stopped: Callable[[], bool],
        standing: DeliveryStanding,
    ) -> tuple[SendOutcome, ...]:
        """As ``Sender.send``."""
        if self.moment == "before it sends":
            self._wait()
        outcomes = self.sender.send(destination, evidence, stopped, standing)
        if self.moment != "before it sends":
            self._wait()
        return outcomes

    def _wait(self) -> None:
        self.stopped.set()
        self.go.wait(_DEADLINE_S)


class _Counting(PostgresJobQueue):
    """A queue that counts how often a delivery was settled, and how often that was refused."""

    settled = refused = 0

    def complete_delivery(self, job: ClaimedJob, outcomes: Sequence[SendOutcome]) -> None:
        """See ``PostgresJobQueue.complete_delivery``."""
        try:
            super().complete_delivery(job, outcomes)
        except LeaseLost:
            self.refused += 1
            raise
        self.settled += 1


class _Course:
    """Where the races are run: a database, and two workers with connections of their own."""

    def __init__(self, stand: Stand, pacs: _Pacs, source: random.Random) -> None:
        self._stand, self._pacs, self._source = stand, pacs, source
        self.met: Counter[str] = Counter()
        self._owed: dict[tuple[str, str], str] = {}  # digest of each data set, as `_Pacs.kept`

    def __enter__(self) -> "_Course":
        self._stand.data_dir.mkdir(parents=True, exist_ok=True)
        objects = ObjectStore(DataFolder(self._stand.data_dir))
        self._databases = [open_database(self._stand.database_url, "overread torture") for _ in range(2)]
        self._queues = [_Counting(database, objects, _JOBS) for database in self._databases]
        self._logs = [PostgresDeliveryLog(database, objects) for database in self._databases]
        self._destinations = {
            name: DestinationSettings(name=name, ae_title=name.upper(), host="127.0.0.1", port=self._pacs.port)
            for name in (f"pacs{number}" for number in range(_MOST_DESTINATIONS))
        }
        self._owner = psycopg2.connect(self._stand.server.owner_url)
        self._owner.autocommit = True
        self._results = OwedResults(self._databases[0], self._queues[0], self._source)
        return self

    def __exit__(self, *_: object) -> None:
        self._owner.close()
        for queue, database in zip(self._queues, self._databases, strict=True):
            queue.close()
            database.close()

    @property
    def refused(self) -> int:
        """How many settlements a stale worker tried in vain."""
        return sum(queue.refused for queue in self._queues)

    def owe(self, destinations: int) -> None:
        """One more analysed study, whose result is owed to so many destinations."""
        names = list(self._destinations)[:destinations]
        evidence = self._results.owe(names)
        self._owed |= {(name.upper(), one.sop_instance_uid): data_set_digest(one) for name in names for one in evidence}

    def race(self) -> None:
        """One delivery and two workers."""
        moment = self._source.choice(_MOMENTS)
        self.met[moment] += 1
        held = _HeldUp(StoreScu("OVERREAD"), moment)
        stale = threading.Thread(target=self._worker(0, held).deliver_one)
        stale.start()
        held.stopped.wait(_DEADLINE_S)
        self._change(_RUN_OUT)
        if moment == "while it settles":
            held.go.set()
        taken = rescue_leases(self._databases[1], _JOBS)
        held.go.set()
        if taken:  # else it was settled first
            self._change(_NEXT)
            self._worker(1, StoreScu("OVERREAD")).deliver_one()
        stale.join(_DEADLINE_S)

    def finish(self) -> None:
        """Deliver what is left, undisturbed."""
        while self._worker(1, StoreScu("OVERREAD")).deliver_one():
            pass

    def _worker(self, which: int, sender: Any) -> DeliveryWorker:  # noqa: ANN401 - either of two kinds
        name = ("stale", "successor")[which]
        return DeliveryWorker(self._queues[which], self._logs[which], self._destinations, sender, _JOBS, name)

    def _change(self, statements: str) -> None:
        with self._owner.cursor() as cursor:
            cursor.execute(statements)

    def faults(self, rounds: int) -> Iterator[str]:
        """What is not as it would be without a race."""
        if twice := sum(len(contents) > 1 for contents in self._pacs.kept.values()):
            yield f"{twice} UIDs have more than one content at the PACS"
        if self._pacs.kept != {key: {digest} for key, digest in self._owed.items()}:
            yield "the PACS does not hold exactly what it was owed"
        if (settled := sum(queue.settled for queue in self._queues)) != rounds:
            yield f"{rounds} deliveries were settled {settled} times"
        if wronged := self._queues[1].refused:
            yield f"{wronged} settlements of a successor were refused, which held the lease"
        if not self.refused:
            yield "no settlement was refused, so that nothing was tried"
        with self._owner.cursor() as cursor:
            cursor.execute(_NOT_ONCE)
            ((odd,),) = cursor.fetchall()
        if odd:
            yield f"{odd} deliveries are not completed exactly once"
