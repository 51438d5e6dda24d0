"""Ask archives how many instances they have of a study.

By C-FIND as SCU at the STUDY level (PS3.4 section C.4.1); by QIDO-RS (PS3.18 section 10.6) where they are of kind stow.
"""

import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from listener.scu.association import Deadlines, Line, associate, release, why_not_established
from listener.scu.instance_query import STUDY_ROOT_FIND
from listener.scu.settings import DestinationSettings
from listener.scu.threads import running
from listener.scu.verdict import NoAnswer, no_answer_note
from listener.scu.web.access import Caller, access_to
from listener.scu.web.line import WebDeadlines, WebLine
from listener.scu.web.qido import SearchFailed, count_of
from storage.domain.completeness import CountQuestion
from storage.errors import DatabaseUnavailable
from storage.ports.completeness import StudyCounts

_LOG = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.5
_GRACE_SECONDS = 5.0
_DEADLINES = Deadlines(answer=30.0, total=60.0)
_PENDING = (0xFF00, 0xFF01)

_NOT_OFFERED = "it accepts no C-FIND (Study Root) from us; allow it there"
_BROKEN = "the association ended before it answered the query"
_NO_NUMBER = "its answer has no Number of Study Related Instances (0020,1208), which is optional"


class CountLane:
    """One archive's lane of questions: it waits for no other archive, and nothing waits for it."""

    def __init__(
        self, counts: StudyCounts, ae_title: str, archive: DestinationSettings, deadlines: Deadlines = _DEADLINES
    ) -> None:
        self._counts = counts
        self._ae_title = ae_title
        self._archive = archive
        self._deadlines = deadlines
        self._access = access_to(archive)  # it may keep a token
        self._stop = threading.Event()

    def ask_once(self) -> int:
        """Ask about every study that is due, over one connection, and write what came of it; how many it were.

        Raises:
            DatabaseUnavailable: they are asked about again.
        """
        questions = self._counts.claim(self._archive.name)
        if questions:
            ask = self._ask_over_the_web if self._archive.kind == "stow" else self._ask
            ask(questions)
        return len(questions)

    def run(self) -> None:
        """Ask until ``stop``."""
        while not self._stop.is_set():
            try:
                asked = self.ask_once()
            except DatabaseUnavailable:
                asked = 0
            except Exception as error:  # noqa: BLE001  the lane must outlive what nobody foresaw; it tries again
                _LOG.error("asking %s for its counts failed with %s", self._archive.name, type(error).__name__)
                asked = 0
            if not asked:
                self._stop.wait(_PAUSE_SECONDS)

    def stop(self) -> None:
        """End after the question in hand, whose association is cut."""
        self._stop.set()

    def _ask(self, questions: Sequence[CountQuestion]) -> None:
        context = build_context(STUDY_ROOT_FIND, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        with Line(self._stop.is_set, self._deadlines) as line:
            try:
                association = associate(self._ae_title, self._archive, [context], line)
            except OSError:  # the name of the host could not be resolved
                return self._unsaid(questions, _clause(no_answer_note(NoAnswer.UNKNOWN_HOST)))
            if not association.is_established:
                why = why_not_established(association, line)
                return self._unsaid(
                    questions, _NOT_OFFERED if why is NoAnswer.NOT_ACCEPTED else _clause(no_answer_note(why))
                )
            try:
                for question in questions:
                    instances, note = count_instances(association, question.study_instance_uid)
                    self._counts.settle(question, instances, note)
            finally:
                if association.is_established:
                    release(association, line)
        return None

    def _ask_over_the_web(self, questions: Sequence[CountQuestion]) -> None:
        deadlines = WebDeadlines(self._deadlines.connect, answer=self._deadlines.answer, total=self._deadlines.total)
        with WebLine(self._stop.is_set, self._archive, deadlines) as line:
            caller = Caller(line, self._access)
            for place, question in enumerate(questions):
                try:
                    count = count_of(caller, self._archive.url, question.study_instance_uid)
                    self._counts.settle(question, count, "")
                except SearchFailed as failed:
                    if failed.over:
                        return self._unsaid(questions[place:], _clause(failed.note))
                    self._unsaid([question], _clause(failed.note))
        return None

    def _unsaid(self, questions: Iterable[CountQuestion], note: str) -> None:
        for question in questions:
            self._counts.settle(question, None, note)


def count_instances(association: Association, study_instance_uid: str) -> tuple[int | None, str]:
    """How many instances the archive has of a study, 0 if it does not know it; or ``None`` and why it did not say."""
    if not association.is_established:
        return None, _BROKEN
    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY"
    keys.StudyInstanceUID = study_instance_uid
    keys.NumberOfStudyRelatedInstances = None
    number, note, status = 0, "", None
    try:
        for answer, match in association.send_c_find(keys, STUDY_ROOT_FIND):
            status = answer.get("Status")
            if (
                status in _PENDING
                and match is not None
                and str(match.get("StudyInstanceUID", "")) == study_instance_uid
            ):
                value = match.get("NumberOfStudyRelatedInstances")
                if value is None:
                    note = _NO_NUMBER
                else:
                    number = max(number, int(value))
    except (RuntimeError, ValueError, TypeError):
        association.abort()  # what is still to come of this answer would be taken for the next one's
        return None, _BROKEN
    if status is None:
        return None, _BROKEN
    if status != 0x0000:
        return None, f"it refused the query (0x{status:04X})"
    return (None, note) if note else (number, "")


@contextmanager
def counting(
    counts: StudyCounts, ae_title: str, destinations: Iterable[DestinationSettings], asked: Collection[str]
) -> Iterator[None]:
    """Within the block, each destination whose name is among ``asked`` is asked, each in a thread of its own."""
    lanes = [CountLane(counts, ae_title, place) for place in destinations if place.name in asked]
    with running(lanes, "count", _GRACE_SECONDS):
        yield


def _clause(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
