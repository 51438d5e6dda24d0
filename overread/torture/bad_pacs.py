"""Delivery to a PACS that is down again and again, refuses for now, aborts, cuts the line and answers late.

The role that delivers is killed meanwhile. When the PACS has become a good one, it must hold each object that it was
owed, with one content, a segmentation not later than its report, and each delivery is completed once.
"""

import hashlib
import json
import logging
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt

from listener.scp.presentation_contexts import VERIFICATION
from overread.torture.outcome import Outcome
from overread.torture.owed_results import FORMS, OwedResults, data_set_digest
from overread.torture.stand import Stand, kill_quietly
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from storage.postgres.job_queue import PostgresJobQueue
from storage.settings import JobSettings

_RESULTS_PER_ROUND = 10
_SENDS = (1, 12)  # after so many objects the PACS goes away
_MOST_UP_S = 10.0
_DOWN_S = (0.1, 1.0)  # for so long
_SLOW_S = 0.5
_AGAIN_S = 2.0  # a killed role holds its leases for this long
_JOBS = JobSettings(lease_seconds=_AGAIN_S, delivery_give_up_hours=1000)
_MOODS = ("good", "good", "good", "busy", "abort", "cut", "cut-after-storing", "slow")
# What waits for its backoff is due at once, so that an hour's worth of trouble passes in minutes.
_HURRY = """
SET session_replication_role = replica;
UPDATE job SET due_at = now() WHERE state = 'scheduled' AND kind = 'delivery' AND due_at > now();
UPDATE delivery_lane SET probe_at = now() WHERE state = 'paused' AND probe_at > now()
"""
_LEFT = "SELECT count(*) FROM job WHERE kind = 'delivery' AND state <> 'completed'"
_NOT_ONCE = """
SELECT count(*) FROM job
WHERE kind = 'delivery' AND 1 <> (
    SELECT count(*) FROM audit_event WHERE audit_event.job_id = job.id AND action = 'job-completed')
"""


def bad_pacs(rounds: int, source: random.Random) -> Outcome:
    """Let the PACS go and come back so often, and kill the role each third time; ``acknowledged`` are the objects."""
    outcome = Outcome("pacs", "")
    for logger in ("storage.housekeeping", "pynetdicom"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    with Stand("pacs") as stand, _Pacs(source) as pacs, _Site(stand, pacs, source) as site:
        for number in range(rounds):
            site.owe(_RESULTS_PER_ROUND)
            pacs.start()
            site.hurry()
            pacs.wait_for(source.randint(*_SENDS))
            if number % 3 == 2:
                site.kill()
            pacs.stop()
            time.sleep(source.uniform(*_DOWN_S))
        pacs.becomes_good()
        pacs.start()
        site.finish()
        outcome.acknowledged = len(pacs.kept)
        met = ", ".join(f"{mood} {count}" for mood, count in sorted(pacs.met.items()))
        outcome.done = f"{rounds} times the PACS was down, {site.kills} SIGKILLs of `overread deliver` ({met})"
        for fault in site.faults():
            outcome.fault(fault, stand)
    return outcome


@dataclass
class _Pacs:
    """Keeps the digest of every content by SOP Instance UID, in the order of arrival; always on one port."""

    source: random.Random
    kept: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    met: Counter[str] = field(default_factory=Counter)
    port: int = 0
    _server: Any = None
    _good: bool = False
    _deck: list[str] = field(default_factory=list)  # of moods to come, each of which is met

    def __enter__(self) -> "_Pacs":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Come back on the same port."""
        entity = AE(ae_title="PACS")
        entity.add_supported_context(VERIFICATION)
        for sop_class, _ in FORMS.values():
            entity.add_supported_context(sop_class, ExplicitVRLittleEndian)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store)]
        self._server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def stop(self) -> None:
        """Go away amid whatever is said."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def wait_for(self, sends: int) -> None:
        """Until it was sent so many more objects, but not for ever."""
        wanted, until = self.met.total() + sends, time.monotonic() + _MOST_UP_S
        while self.met.total() < wanted and time.monotonic() < until:
            time.sleep(0.01)

    def becomes_good(self) -> None:
        """From now on everything is taken."""
        self._good = True

    def _store(self, event: evt.Event) -> int:
        if not self._deck:
            self._deck = self.source.sample(_MOODS, len(_MOODS))
        mood = "good" if self._good else self._deck.pop()
        self.met[mood] += 1
        if mood in ("good", "slow", "cut-after-storing"):
            digest = hashlib.sha256(event.encoded_dataset(include_meta=False)).hexdigest()
            self.kept[str(event.file_meta.MediaStorageSOPInstanceUID)].add(digest)
        if mood == "slow":
            time.sleep(_SLOW_S)
        if mood == "abort":
            event.assoc.abort()
        if mood.startswith("cut"):
            transport: Any = event.assoc.dul.socket
            transport.socket.shutdown(socket.SHUT_RDWR)
        return 0xA700 if mood == "busy" else 0x0000


class _Site:
    """What is owed, and an `overread deliver` and `overread housekeep` that see to it."""

    def __init__(self, stand: Stand, pacs: _Pacs, source: random.Random) -> None:
        self._stand, self._pacs, self._source = stand, pacs, source
        self._roles: dict[str, subprocess.Popen[bytes]] = {}
        self._owed: dict[str, str] = {}
        self._pairs: list[tuple[str, str]] = []  # SOP Instance UIDs of a segmentation and of its report
        self.kills = 0

    def __enter__(self) -> "_Site":
        self._stand.data_dir.mkdir(parents=True, exist_ok=True)
        objects = ObjectStore(DataFolder(self._stand.data_dir))
        self._database = open_database(self._stand.database_url, "overread torture")
        self._queue = PostgresJobQueue(self._database, objects, _JOBS)
        self._results = OwedResults(self._database, self._queue, self._source)
        self._owner = psycopg2.connect(self._stand.server.owner_url)
        self._owner.autocommit = True
        for role in ("deliver", "housekeep"):
            self._start(role)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._roles.values():
            kill_quietly(process.pid)
            process.wait()
        self._owner.close()
        self._queue.close()
        self._database.close()

    def owe(self, results: int) -> None:
        """So many more results."""
        for _ in range(results):
            evidence = self._results.owe(["pacs"])
            self._owed |= {one.sop_instance_uid: data_set_digest(one) for one in evidence}
            segmentation, report = evidence
            self._pairs.append((segmentation.sop_instance_uid, report.sop_instance_uid))

    def kill(self) -> None:
        """SIGKILL the role that delivers, amid whatever it does, and start it again."""
        process = self._roles["deliver"]
        kill_quietly(process.pid)
        process.wait()
        self.kills += 1
        self._start("deliver")

    def hurry(self) -> None:
        """Leave out the waits."""
        with self._owner.cursor() as cursor:
            cursor.execute(_HURRY)

    def finish(self) -> None:
        """Wait until nothing is owed any more.

        Raises:
            TortureFailed: it did not come true within two minutes.
        """
        done = threading.Event()

        def nothing_left() -> bool:
            self.hurry()
            done.wait(0.2)
            return self._count(_LEFT) == 0

        self._stand.wait_until(nothing_left, "every delivery is completed")

    def faults(self) -> Iterator[str]:
        """What is not as it would be with a good PACS."""
        if twice := sum(len(contents) > 1 for contents in self._pacs.kept.values()):
            yield f"{twice} UIDs have more than one content at the PACS"
        if {uid: {digest} for uid, digest in self._owed.items()} != self._pacs.kept:
            yield "the PACS does not hold exactly what it was owed"
        order = {uid: place for place, uid in enumerate(self._pacs.kept)}
        if overtaken := sum(order.get(report, -1) < order.get(seg, 0) for seg, report in self._pairs):
            yield f"{overtaken} reports arrived before their segmentation"
        if odd := self._count(_NOT_ONCE):
            yield f"{odd} deliveries are not completed exactly once"
        if not all(self._pacs.met[mood] for mood in _MOODS):
            yield "not every mood of the PACS was met, so that not everything was tried"

    def _count(self, query: str) -> int:
        with self._owner.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
        return int(row[0]) if row else 0

    def _start(self, role: str) -> None:
        place = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": self._pacs.port, "answer_seconds": 10}
        more = {"OVERREAD_DESTINATIONS": json.dumps([place]), "OVERREAD_JOBS_LEASE_SECONDS": str(_AGAIN_S)}
        with (self._stand.folder / "log").open("ab") as log:
            self._roles[role] = subprocess.Popen(
                [sys.executable, "-P", "-m", "overread", role],
                env=self._stand.environment() | more | {"OVERREAD_JOBS_DELIVERY_GIVE_UP_HOURS": "1000"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
