"""One thing is sent in the best form that the destination takes, and every other form is accounted for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from listener.scu.alternatives import send_best, send_by_profile, send_in_order
from storage.domain.delivery import DeliveryStanding, SendOutcome, Verdict
from storage.domain.result import EvidenceForm, EvidenceRole, FrozenEvidence
from storage.domain.viewer_profile import ANY, Choice, own_profile

BEST, MIDDLE, LAST = EvidenceForm.COMPREHENSIVE_3D, EvidenceForm.COMPREHENSIVE, EvidenceForm.BASIC_TEXT


class Peer:
    """A destination that answers as it was told, by SOP Instance UID, else with success."""

    def __init__(self, obstacles: tuple[str, ...] = (), answers: Mapping[str, Verdict] | None = None) -> None:
        self.sent: list[str] = []
        self._obstacles, self._answers = obstacles, answers or {}

    def obstacle(self, one: FrozenEvidence) -> SendOutcome | None:
        """What stands in the way."""
        uid = one.sop_instance_uid
        return SendOutcome(uid, Verdict.REFUSED, None, "Not accepted.") if uid in self._obstacles else None

    def store(self, those: Sequence[FrozenEvidence]) -> list[SendOutcome]:
        """The answers."""
        return [self._answer(one) for one in those]

    def _answer(self, one: FrozenEvidence) -> SendOutcome:
        uid = one.sop_instance_uid
        self.sent.append(uid)
        verdict = self._answers.get(uid, Verdict.DELIVERED)
        return SendOutcome(uid, verdict, 0xA900 if verdict is Verdict.REFUSED else 0, "Refused.")


def choice(*forms: tuple[EvidenceForm, tuple[str, ...]], begun: tuple[EvidenceForm, ...] = ()) -> Choice:
    """Instances with these UIDs in these forms."""
    return Choice(tuple((form, tuple(_frozen(form, uid) for uid in uids)) for form, uids in forms), begun)


def _frozen(form: EvidenceForm, uid: str) -> FrozenEvidence:
    return FrozenEvidence(EvidenceRole.REPORT, "1.2", uid, "1.3", "1.2.840.10008.1.2.1", Path("x"), "a" * 64, 1, form)


REPORT = choice((BEST, ("a",)), (MIDDLE, ("b",)), (LAST, ("c",)))


def verdicts(peer: Peer, owed: Choice) -> dict[str, str]:
    """What came of each instance."""
    return {one.sop_instance_uid: str(one.verdict) for one in send_best(owed, peer.obstacle, peer.store)}


@pytest.mark.parametrize(
    ("answer", "taken", "came"),
    [
        (Verdict.DELIVERED, (), ("delivered", "delivered")),
        (Verdict.REFUSED, (), ("refused", "not-needed")),
        (Verdict.TRY_AGAIN, (), ("try-again", "try-again")),
        (Verdict.REFUSED, (EvidenceForm.COMPREHENSIVE,), ("not-needed", "delivered")),
    ],
)
def test_an_earlier_result_is_rejected_only_where_the_newer_one_is(
    answer: Verdict, taken: tuple[EvidenceForm, ...], came: tuple[str, str]
) -> None:
    """Its note goes after the report was taken, now or before in whichever form; else the earlier one is left alone."""
    profile = own_profile("archive", ANY, further=((EvidenceForm.REJECTION_NOTE,),))
    note = replace(_frozen(EvidenceForm.REJECTION_NOTE, "note"), role=EvidenceRole.REJECTION_NOTE)
    peer = Peer(answers={"report": answer})

    def send_all(ordered: Sequence[Choice]) -> Sequence[SendOutcome]:
        return send_in_order(ordered, peer.obstacle, peer.store, True)

    outcomes = send_by_profile(profile, [note, _frozen(BEST, "report")], DeliveryStanding(frozenset(taken)), send_all)

    verdict = {one.sop_instance_uid: str(one.verdict) for one in outcomes}
    assert (verdict["report"], verdict["note"]) == came
    assert ("note" in peer.sent) == (came[1] == "delivered")


def test_the_best_form_is_sent_and_the_others_are_not_needed() -> None:
    """One send, and nothing stays owed."""
    peer = Peer()

    assert verdicts(peer, REPORT) == {"a": "delivered", "b": "not-needed", "c": "not-needed"}
    assert peer.sent == ["a"]


def test_a_form_that_cannot_be_sent_gives_way_to_the_next() -> None:
    """The reason stays with the form that was passed over, with what went in its place."""
    peer = Peer(obstacles=("a", "b"))

    outcomes = send_best(REPORT, peer.obstacle, peer.store)

    assert peer.sent == ["c"]
    assert [(one.sop_instance_uid, one.verdict) for one in outcomes] == [
        ("c", Verdict.DELIVERED),
        ("a", Verdict.NOT_NEEDED),
        ("b", Verdict.NOT_NEEDED),
    ]
    assert outcomes[1].note == "Not accepted. The destination took the same content as basic-text."


def test_a_form_that_is_refused_gives_way_to_the_next() -> None:
    """A peer that accepts the context and then refuses the object is sent the next form on the same association."""
    peer = Peer(answers={"a": Verdict.REFUSED})

    assert verdicts(peer, REPORT) == {"a": "not-needed", "b": "delivered", "c": "not-needed"}
    assert peer.sent == ["a", "b"]


def test_with_no_form_left_each_is_refused() -> None:
    """Nothing of the content is there, so nothing may be settled as not needed."""
    assert set(verdicts(Peer(obstacles=("a", "b", "c")), REPORT).values()) == {"refused"}
    assert set(verdicts(Peer(answers=dict.fromkeys("abc", Verdict.REFUSED)), REPORT).values()) == {"refused"}


def test_a_broken_association_leaves_the_other_forms_owed() -> None:
    """The next association may take another form, so the choice is not made yet."""
    peer = Peer(obstacles=("a",), answers={"b": Verdict.TRY_AGAIN})

    assert verdicts(peer, REPORT) == {"b": "try-again"}


def test_once_a_part_is_there_the_form_is_chosen() -> None:
    """When one of two instances arrived, the rest of that form stays owed and no other form does."""
    owed = choice((BEST, ("a1", "a2")), (LAST, ("c",)))
    peer = Peer(answers={"a2": Verdict.TRY_AGAIN})

    assert verdicts(peer, owed) == {"a1": "delivered", "a2": "try-again", "c": "not-needed"}


def test_a_form_goes_whole_or_not_at_all() -> None:
    """When one of two instances cannot be sent, neither is."""
    owed = choice((BEST, ("a1", "a2")), (LAST, ("c",)))
    peer = Peer(obstacles=("a2",))

    assert verdicts(peer, owed) == {"a1": "not-needed", "a2": "not-needed", "c": "delivered"}
    assert peer.sent == ["c"]


@pytest.mark.parametrize("second", [Verdict.TRY_AGAIN, Verdict.REFUSED])
def test_a_form_taken_in_part_is_not_called_the_same_content(second: Verdict) -> None:
    """What is noted about the form that is not sent is the truth: a part is there."""
    owed = choice((BEST, ("a1", "a2")), (LAST, ("c",)))
    peer = Peer(answers={"a2": second})

    notes = {one.sop_instance_uid: one.note for one in send_best(owed, peer.obstacle, peer.store)}

    assert notes["c"] == (
        "The destination took only a part of the same content as comprehensive-3d; the rest goes in that form or not "
        "at all."
    )


@pytest.mark.parametrize("last", [Verdict.DELIVERED, Verdict.TRY_AGAIN, Verdict.REFUSED])
def test_of_a_form_that_was_begun_only_the_rest_is_sent(last: Verdict) -> None:
    """Also when the rest is refused, no second form of the content goes out."""
    owed = choice((BEST, ("a2",)), (LAST, ("c",)), begun=(BEST,))
    peer = Peer(answers={"a2": last})

    assert verdicts(peer, owed) == {"a2": str(last), "c": "not-needed"}
    assert peer.sent == ["a2"]


def test_where_all_of_a_form_is_there_nothing_is_sent() -> None:
    """What is owed of other forms is settled with the form that the destination has."""
    peer = Peer()

    (outcome,) = send_best(choice((LAST, ("c",)), begun=(BEST,)), peer.obstacle, peer.store)

    assert (outcome.verdict, outcome.note) == (
        Verdict.NOT_NEEDED,
        "The destination took the same content as comprehensive-3d.",
    )
    assert peer.sent == []


@pytest.mark.parametrize("verdict", [Verdict.DELIVERED, Verdict.TRY_AGAIN, Verdict.REFUSED])
def test_a_thing_of_one_form_is_judged_by_its_answer_alone(verdict: Verdict) -> None:
    """Without alternatives the answer is what it was."""
    assert verdicts(Peer(answers={"a": verdict}), choice((BEST, ("a",)))) == {"a": str(verdict)}
