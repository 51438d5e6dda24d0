"""Proof by query: each object is looked up at the destination (C-FIND as SCU at the IMAGE level, PS3.4 C.4.1)."""

from collections.abc import Callable

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from listener.scu.association import Deadlines, Line, associate, release, why_not_established
from listener.scu.instance_query import STUDY_ROOT_FIND, Found, QueryRefused, look_for
from listener.scu.proof.inquiry import nothing_said
from listener.scu.settings import DestinationSettings
from listener.scu.verdict import NoAnswer, no_answer_note
from storage.domain.proof import ObjectAnswer, ProofRequest, Word

_NOT_OFFERED = (
    "The destination accepts no C-FIND (Study Root) from us; allow it there, or set proof to another way in its "
    "[[destinations]] entry."
)
_BROKEN = "The association ended before the destination answered the query; check there that our AE title may query it."

# What a query says, and the sentence for an operator.
WORDS: dict[Found, tuple[Word, str]] = {
    Found.FOUND: (Word.HELD, ""),
    Found.NOT_FOUND: (Word.ABSENT, "The destination did not find the object when it was asked for it."),
    Found.OTHER_CLASS: (
        Word.OTHER,
        "Under this UID the destination has an object of another SOP Class; find out there where it is from.",
    ),
}


class FindInquiry:
    """Implements Inquiry; one association for all objects of a request."""

    def __init__(self, ae_title: str, deadlines: Deadlines | None = None) -> None:
        self._ae_title = ae_title
        self._deadlines = deadlines or Deadlines(total=300.0)

    def ask(
        self, destination: DestinationSettings, request: ProofRequest, stopped: Callable[[], bool]
    ) -> tuple[ObjectAnswer, ...]:
        """Look each object up; when the destination ends the association, the rest is asked another time."""
        context = build_context(STUDY_ROOT_FIND, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        with Line(stopped, self._deadlines) as line:
            try:
                association = associate(self._ae_title, destination, [context], line)
            except OSError:  # the name of the host could not be resolved
                return nothing_said(request, no_answer_note(NoAnswer.UNKNOWN_HOST))
            if not association.is_established:
                why = why_not_established(association, line)
                return nothing_said(request, _NOT_OFFERED if why is NoAnswer.NOT_ACCEPTED else no_answer_note(why))
            answers = _answers(association, request)
            if association.is_established:
                release(association, line)
        return answers


def _answers(association: Association, request: ProofRequest) -> tuple[ObjectAnswer, ...]:
    answers: list[ObjectAnswer] = []
    for one in request.objects:
        try:
            word, note = WORDS[look_for(association, one.study_instance_uid, one)]
            answers.append(ObjectAnswer(one.sop_instance_uid, word, note))
        except QueryRefused as refused:
            if refused.status is None:  # the toolkit would wait for each of the others in vain
                said = {answer.sop_instance_uid for answer in answers}
                rest = nothing_said(request, _BROKEN)
                return (*answers, *(each for each in rest if each.sop_instance_uid not in said))
            note = f"The destination refused the query (0x{refused.status:04X}); look into its log."
            answers.append(ObjectAnswer(one.sop_instance_uid, Word.UNSAID, note, refused.status))
    return tuple(answers)
