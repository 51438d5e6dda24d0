"""Try a destination: send every instance of a self-test, whatever its form, and ask for each again."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE

from listener.scu.association import (
    Deadlines,
    Line,
    associate,
    contexts_of,
    deadlines_of,
    is_accepted,
    release,
    store,
    why_not_established,
)
from listener.scu.find_again import Again, Query, find_again
from listener.scu.settings import DestinationSettings
from listener.scu.verdict import NoAnswer, no_answer_note, outcome_without_answer
from storage.domain.delivery import SendOutcome, Verdict
from storage.domain.self_test import SelfTest, SelfTestInstance


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why there was no association; the numbers are those of an A-ASSOCIATE-RJ (PS3.8 table 9-21), where one came.

    ``said`` is the sentence where the word ``why`` is none of ``NoAnswer``, as over the web.
    """

    why: str
    result: int | None = None
    source: int | None = None
    reason: int | None = None
    said: str = ""

    @property
    def note(self) -> str:
        """One sentence for an operator."""
        return self.said or no_answer_note(NoAnswer(self.why))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one instance.

    ``context`` is the Result/Reason of its presentation context (PS3.8 table 9-18): 0 accepted, 1 and 2 refused, 3 and
    4 abstract or transfer syntax not supported; ``None`` when there was no answer.
    """

    context: int | None
    outcome: SendOutcome


@dataclass(frozen=True, slots=True)
class Probed:
    """What a destination said; ``answers`` by SOP Instance UID, ``associate_seconds`` from request to answer."""

    rejection: Rejection | None
    associate_seconds: float | None
    answers: Mapping[str, Answer]
    again: Again


def probe(
    ae_title: str,
    destination: DestinationSettings,
    self_test: SelfTest,
    wait_seconds: float,
    deadlines: Deadlines | None = None,
) -> Probed:
    """Send all of a self-test, every form that is accepted and not the best alone, and look for it.

    ``ae_title`` is ours. What was stored is asked for until it is there or ``wait_seconds`` are over.
    """
    limits = deadlines or deadlines_of(destination)
    rejection, seconds, answers = _stored(ae_title, destination, self_test.instances, limits)
    there = [
        one
        for one in self_test.instances
        if one.sop_instance_uid in answers and answers[one.sop_instance_uid].outcome.verdict is Verdict.DELIVERED
    ]
    again = Again(Query.NOT_ASKED)
    if there:
        again = find_again(ae_title, destination, self_test.study_instance_uid, there, limits, wait_seconds)
    return Probed(rejection, seconds, answers, again)


def _stored(
    ae_title: str, destination: DestinationSettings, instances: Sequence[SelfTestInstance], deadlines: Deadlines
) -> tuple[Rejection | None, float | None, dict[str, Answer]]:
    with Line(lambda: False, deadlines) as line:
        start = time.perf_counter()
        try:
            association = associate(ae_title, destination, contexts_of(instances), line)
        except OSError:  # the name of the host could not be resolved
            return Rejection(NoAnswer.UNKNOWN_HOST), None, {}
        seconds = time.perf_counter() - start
        if not association.is_established:
            why = why_not_established(association, line)
            return _rejection(association, why), None, _unsent(association, instances, why)
        answers = {
            one.sop_instance_uid: Answer(_context(association, one), _sent(association, number, one, line))
            for number, one in enumerate(instances, start=1)
        }
        if association.is_established:
            release(association, line)
        return None, seconds, answers


def _sent(association: Association, number: int, one: SelfTestInstance, line: Line) -> SendOutcome:
    if association.is_established and not is_accepted(association, one):
        return outcome_without_answer(one.sop_instance_uid, NoAnswer.NOT_ACCEPTED)
    return store(association, number, one, line)


def _unsent(association: Association, instances: Sequence[SelfTestInstance], why: NoAnswer) -> dict[str, Answer]:
    return {
        one.sop_instance_uid: Answer(_context(association, one), outcome_without_answer(one.sop_instance_uid, why))
        for one in instances
    }


def _context(association: Association, one: SelfTestInstance) -> int | None:
    """The answer to its context; of one that is refused only the ID comes back."""
    wanted = {
        context.context_id
        for context in association.requestor.requested_contexts
        if (context.abstract_syntax, context.transfer_syntax) == (one.sop_class_uid, [one.transfer_syntax_uid])
    }
    answered = (*association.accepted_contexts, *association.rejected_contexts)
    return next((context.result for context in answered if context.context_id in wanted), None)


def _rejection(association: Association, why: NoAnswer) -> Rejection:
    answer = association.acceptor.primitive
    if not isinstance(answer, A_ASSOCIATE) or not answer.result:
        return Rejection(why)
    return Rejection(why, answer.result, answer.result_source, answer.diagnostic)
