"""What an archive can be asked for, over whatever it speaks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from listener.errors import ListenerError
from listener.scu.query.matching import FoundSeries, FoundStudy, ListedInstance, StudyQuery
from listener.scu.verdict import NoAnswer, no_answer_note
from listener.scu.web.answer import NO_REPLY_RULES
from listener.scu.web.line import NoReply
from storage.domain.identifiers import is_uid
from storage.domain.job import Reason


class ArchiveFailed(ListenerError):
    """The archive did not do what it was asked for; ``reason`` says why.

    ``over``: nothing else that it is asked now would fare better.
    """

    def __init__(self, code: str, sentence: str, over: bool = False) -> None:
        self.reason = Reason(code, sentence)
        self.over = over
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class Lacking:
    """The instances of one series that lack here; ``whole`` if none of the series is here."""

    series_instance_uid: str
    instances: tuple[ListedInstance, ...]
    whole: bool


class Archive(Protocol):
    """One archive; each call has deadlines of its own."""

    def find_studies(self, query: StudyQuery, most: int) -> list[FoundStudy]:
        """The studies that it has for the keys that a study has.

        Raises:
            ArchiveFailed: it did not answer, refused, or has more than ``most``.
        """
        ...

    def find_series(self, study_instance_uid: str) -> list[FoundSeries]:
        """The series of a study. Raises ArchiveFailed."""
        ...

    def list_instances(self, study_instance_uid: str) -> list[ListedInstance]:
        """Every instance that it has of a study; none where it does not know the study. Raises ArchiveFailed."""
        ...

    def retrieve(self, study_instance_uid: str, lacking: Sequence[Lacking], whole: bool) -> Reason | None:
        """Have these come, all of the study where ``whole``; what the archive says of those that it could not give.

        What came is told by what is kept, not by the archive.

        Raises:
            ArchiveFailed: nothing more comes.
        """
        ...


BROKEN_OFF = (
    "The archive broke off before it had answered; run the command again, which asks for what lacks alone, and if it "
    "does so each time, look whether it knows our AE title."
)
_TOO_SLOW = "The archive did not answer in time; run the command again, which asks for what lacks alone."
_STOPPED = "It was stopped before the archive had answered; run the command again, which asks for what lacks alone."
_NO_UID = "The archive lists a series or an instance whose UID is none (PS3.5 section 9.1); correct it there."
_IN_OWN_WORDS: dict[NoReply | NoAnswer, str] = {
    NoReply.BROKEN: BROKEN_OFF,
    NoReply.TOO_SLOW: _TOO_SLOW,
    NoReply.INTERRUPTED: _STOPPED,
    NoAnswer.BROKEN: BROKEN_OFF,
    NoAnswer.INTERRUPTED: _STOPPED,
}


def require_uids(uids: Iterable[str]) -> None:
    """Refuse a list with what is no UID: it would get into addresses, and into further questions as a wild card.

    Raises:
        ArchiveFailed: one is none.
    """
    if not all(is_uid(uid) for uid in uids):
        raise ArchiveFailed("archive-unreadable", _NO_UID)


def unreached(why: NoReply | NoAnswer) -> ArchiveFailed:
    """There is no answer; the words are those of deliveries, of an archive."""
    if why in _IN_OWN_WORDS:
        return ArchiveFailed("archive-broke-off", _IN_OWN_WORDS[why])
    note = no_answer_note(why) if isinstance(why, NoAnswer) else NO_REPLY_RULES[why].note
    return ArchiveFailed("archive-unreached", note.replace("destination", "archive"), over=True)
