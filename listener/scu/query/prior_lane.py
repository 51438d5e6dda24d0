"""Fetches the priors that routes ask for; each archive has a lane of its own, which waits for no other."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, timedelta

from listener.errors import ListenerError
from listener.scu.query.archive import Archive
from listener.scu.query.fetching import Fetcher
from listener.scu.query.priors import PriorsWanted, priors
from storage.domain.fetch import FetchOutcome, FetchPurpose
from storage.domain.prior_request import PriorRequest
from storage.errors import DatabaseUnavailable, StorageError
from storage.ports.priors import PriorRequests

_LOG = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_PATIENCE_SECONDS = 7200.0  # for which nobody else takes what is being fetched


@dataclass(frozen=True, slots=True)
class PatientOfStudy:
    """Whose priors are wanted, and up to which day."""

    patient_id: str
    issuer_of_patient_id: str
    study_date: date | None


@dataclass(frozen=True, slots=True)
class PriorLane:
    """One archive's lane; ``patient_of`` knows the patient of a study that is here, ``today`` the day."""

    archive_name: str
    archive: Archive
    fetcher: Fetcher
    requests: PriorRequests
    patient_of: Callable[[str], PatientOfStudy | None]
    require_room: Callable[[], None]
    today: Callable[[], date]

    def fetch_once(self) -> bool:
        """Fetch what one study's route asks for; whether there was one.

        Raises:
            DatabaseUnavailable: it is fetched later.
        """
        request = self.requests.take(self.archive_name, _PATIENCE_SECONDS)
        if request is None:
            return False
        try:
            self.require_room()
            note, whole = self._fetched(request)
        except DatabaseUnavailable:
            raise
        except (ListenerError, StorageError) as error:
            note, whole = str(error), False
        if whole:
            self.requests.done(request.request_id, note)
        else:
            self.requests.try_later(request, note)
        return True

    def _fetched(self, request: PriorRequest) -> tuple[str, bool]:
        """What came in one sentence, and whether it is all that there is."""
        patient = self.patient_of(request.study_instance_uid)
        if patient is None or not patient.patient_id:
            return "The study names no Patient ID, so no priors were asked for.", True
        found = priors(self.archive, self._wanted(request, patient))
        self.fetcher.fetches.note_query(self.archive_name, self.fetcher.actor, len(found), request.study_instance_uid)
        ends = [self.fetcher.fetch(study.study_instance_uid, FetchPurpose.CONTEXT) for study in found]
        lacking = [end for end in ends if end.outcome is not FetchOutcome.COMPLETE]
        if lacking:
            reason = next((end.reason.sentence for end in lacking if end.reason), "")
            return f"{len(lacking)} of {len(ends)} priors are not here whole. {reason}", False
        return f"{len(ends)} of its patient's earlier studies are here.", True

    def _wanted(self, request: PriorRequest, patient: PatientOfStudy) -> PriorsWanted:
        rule = request.rule
        day = patient.study_date or self.today()
        keys = {"Modality": rule.modality, "BodyPartExamined": rule.body_part}
        return PriorsWanted(
            patient.patient_id,
            # Another study of that day may be on its way here to be analysed; as context, it would not be.
            day - timedelta(days=1),
            rule.most,
            rule.within_days,
            patient.issuer_of_patient_id,
            {key: value for key, value in keys.items() if value},
            request.study_instance_uid,
        )


class PriorThread:
    """Runs a lane until it is told to stop; the archive is asked anew once the database is back."""

    def __init__(self, name: str, opened: Callable[[Callable[[], bool]], AbstractContextManager[PriorLane]]) -> None:
        """``opened`` makes the lane, whose associations are cut when the function it is given says so."""
        self._name = name
        self._opened = opened
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"priors {name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End, at the latest after so long; what was being fetched is fetched on later."""
        self._stop.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._opened(self._stop.is_set) as lane:
                    while not self._stop.is_set():
                        if not lane.fetch_once():
                            self._stop.wait(_PAUSE_SECONDS)
            except DatabaseUnavailable:
                pass
            except Exception as error:  # noqa: BLE001  the lane must outlive what nobody foresaw; it tries again
                _LOG.error("fetching priors from %s failed with %s", self._name, type(error).__name__)
            self._stop.wait(_PAUSE_SECONDS)
