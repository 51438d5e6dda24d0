"""Proof by query over the web: each object is looked up at the destination (QIDO-RS, PS3.18 section 10.6)."""

from collections.abc import Callable

from listener.scu.proof.inquiry import nothing_said
from listener.scu.proof.read_back import WORDS
from listener.scu.settings import DestinationSettings
from listener.scu.web.access import Access, Caller, access_to
from listener.scu.web.line import WebDeadlines, WebLine
from listener.scu.web.qido import SearchFailed, look_up
from storage.domain.proof import ObjectAnswer, ProofRequest, Word

_DEADLINES = WebDeadlines(total=300.0)


class QidoInquiry:
    """Implements Inquiry; one search for each object of a request, over one connection."""

    def __init__(self, deadlines: WebDeadlines = _DEADLINES) -> None:
        self._deadlines = deadlines
        self._access: dict[str, Access] = {}  # by destination, for it may keep a token

    def ask(
        self, destination: DestinationSettings, request: ProofRequest, stopped: Callable[[], bool]
    ) -> tuple[ObjectAnswer, ...]:
        """Look each object up; what could not be asked is asked another time."""
        access = self._access.setdefault(destination.name, access_to(destination))
        answers: list[ObjectAnswer] = []
        with WebLine(stopped, destination, self._deadlines) as line:
            caller = Caller(line, access)
            for one in request.objects:
                try:
                    word, note = WORDS[look_up(caller, destination.url, one.study_instance_uid, one)]
                    answers.append(ObjectAnswer(one.sop_instance_uid, word, note))
                except SearchFailed as failed:
                    if failed.over:
                        rest = nothing_said(request, failed.note)
                        return (*answers, *rest[len(answers) :])
                    answers.append(ObjectAnswer(one.sop_instance_uid, Word.UNSAID, failed.note))
        return tuple(answers)
