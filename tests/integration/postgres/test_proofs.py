"""Proofs of arrival in rows: owed with the acknowledgement, asked once, settled once, sent again when lost."""

import re
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from storage.domain.commitment import Believed, ReceivedReport
from storage.domain.delivery import SendOutcome, Verdict, how_far
from storage.domain.job import JobKind, Reason
from storage.domain.proof import (
    MOST_RESENDS,
    ObjectAnswer,
    ProofPolicy,
    ProofRequest,
    ProofWay,
    ProofWish,
    Word,
    failure_answer,
)
from storage.domain.result import NewResult
from storage.housekeeping.forget_questions import forget_questions
from storage.housekeeping.tell_refused_reports import tell_refused_reports
from storage.postgres import proof_rows
from storage.postgres.delivery_log import record_outcomes
from storage.postgres.held_job import hold
from storage.postgres.proof_reports import take_report
from storage.postgres.proof_rows import PostgresProofs
from storage.postgres.statement import statement

QUERY = ProofPolicy(ProofWay.QUERY, 0, 600, 24)
COMMITMENT = replace(QUERY, way=ProofWay.COMMITMENT)
WISH = ProofWish(ProofWay.QUERY, 0)
PROOF = "SELECT state, losses, note FROM delivery_proof ORDER BY delivery_id"


def outcomes(result: NewResult, wish: ProofWish | None = WISH) -> list[SendOutcome]:
    """Every object was acknowledged, and is to be proven."""
    return [SendOutcome(one.sop_instance_uid, Verdict.DELIVERED, 0, "Stored.", proof=wish) for one in result.evidence]


def deliver(hospital: Any, result: NewResult, wish: ProofWish | None = WISH, only: set[str] | None = None) -> int:
    """The next delivery, done; ``only`` are the objects that it owes."""
    job = hospital.claimed(JobKind.DELIVERY)
    owed = {one.sop_instance_uid for one in hospital.deliveries.undelivered(job)}
    assert only is None or owed == only
    hospital.queue.complete_delivery(job, [one for one in outcomes(result, wish) if one.sop_instance_uid in owed])
    return int(job.job_id)


def asked(hospital: Any, policy: ProofPolicy = QUERY) -> tuple[PostgresProofs, ProofRequest]:
    """The next question to the destination, which there must be."""
    proofs = PostgresProofs(hospital.database)
    hospital.rows("UPDATE delivery_proof SET due_at = now()")
    request = proofs.claim("pacs", policy, "PACS", ["127.0.0.1"])
    assert request is not None
    return proofs, request


def say(hospital: Any, word: Word, *uids: str, reason: int | None = None, policy: ProofPolicy = QUERY) -> None:
    """Ask, and be told this word of these objects, or of all."""
    proofs, request = asked(hospital, policy)
    named = uids or tuple(one.sop_instance_uid for one in request.objects)
    proofs.settle(request, policy, [ObjectAnswer(uid, word, "It was said.", reason) for uid in named])


@pytest.fixture
def result(hospital: Any) -> NewResult:
    """A result whose two objects pacs acknowledged."""
    hospital.install()
    result: NewResult = hospital.analysed()
    deliver(hospital, result)
    return result


def test_an_acknowledged_object_owes_its_proof(hospital: Any, result: NewResult) -> None:
    """The proof appears with the acknowledgement; the question names study, series, class and instance."""
    assert hospital.rows(PROOF) == [("owed", 0, "")] * 2

    _, request = asked(hospital)

    assert {one.sop_instance_uid for one in request.objects} == {one.sop_instance_uid for one in result.evidence}
    assert {one.study_instance_uid for one in request.objects} == {"1.2.3"}
    assert hospital.rows("SELECT DISTINCT state, request_uid FROM delivery_proof") == [("asked", request.request_uid)]


def test_without_a_wish_nothing_is_owed(hospital: Any) -> None:
    """A destination whose acknowledgement is all there is gets no proof."""
    hospital.install()
    deliver(hospital, hospital.analysed(), wish=None)

    assert hospital.rows(PROOF) == []
    assert PostgresProofs(hospital.database).claim("pacs", QUERY, "PACS", []) is None


def test_what_is_held_is_proven_and_never_asked_again(hospital: Any, result: NewResult) -> None:
    """Both objects are proven, each with its audit row, and no question is left."""
    say(hospital, Word.HELD)

    assert [state for state, *_ in hospital.rows(PROOF)] == ["proven", "proven"]
    assert hospital.audited("delivery-proven") == 2
    hospital.rows("UPDATE delivery_proof SET due_at = now()")
    assert PostgresProofs(hospital.database).claim("pacs", QUERY, "PACS", []) is None
    assert PostgresProofs(hospital.database).arrivals(destination=None, unproven=True, rows=10) == []


def test_two_provers_ask_for_different_objects(hospital: Any, result: NewResult) -> None:
    """What one has asked for, no other asks for until the answer is overdue."""
    asked(hospital)

    assert PostgresProofs(hospital.database).claim("pacs", QUERY, "PACS", []) is None


def test_a_stale_answer_changes_nothing(hospital: Any, result: NewResult) -> None:
    """Once the question was put anew, the answer to the earlier one is worth nothing, whatever it says."""
    proofs, first = asked(hospital)
    _, second = asked(hospital)
    lost = [ObjectAnswer(one.sop_instance_uid, Word.LOST) for one in first.objects]

    proofs.settle(first, QUERY, lost)

    assert [state for state, *_ in hospital.rows(PROOF)] == ["asked", "asked"]
    proofs.settle(second, QUERY, [ObjectAnswer(one.sop_instance_uid, Word.HELD) for one in second.objects])
    proofs.settle(second, QUERY, lost)
    assert [state for state, *_ in hospital.rows(PROOF)] == ["proven", "proven"]
    assert hospital.rows("SELECT count(*) FROM job WHERE kind = 'delivery'") == [(1,)]


def test_a_lost_object_is_sent_again_alone(hospital: Any, result: NewResult) -> None:
    """Its delivery gets a successor that owes it and nothing else; acknowledged again, it is asked about again."""
    lost, kept = (one.sop_instance_uid for one in result.evidence)
    proofs, request = asked(hospital)

    proofs.settle(request, QUERY, [failure_answer(lost, 0x0112), ObjectAnswer(kept, Word.HELD)])

    assert hospital.rows("SELECT state, predecessor_id IS NULL FROM job WHERE kind = 'delivery' ORDER BY id") == [
        ("completed", True),
        ("scheduled", False),
    ]
    [row] = proofs.arrivals(destination="pacs", unproven=True, rows=10)
    assert (row["sop_instance_uid"], row["proof_state"], row["losses"]) == (lost, "lost", 1)
    assert hospital.audited("delivery-lost") == 1
    assert hospital.overview.status()["studies"][0]["state"] == "delivering"
    deliver(hospital, result, only={lost})
    assert sorted(state for state, *_ in hospital.rows(PROOF)) == ["owed", "proven"]
    say(hospital, Word.HELD)
    assert hospital.overview.status()["studies"][0]["state"] == "done"


def test_two_lost_objects_share_one_successor(hospital: Any, result: NewResult) -> None:
    """A job has one successor at most, so what one question or two lost of it goes the same way."""
    first, second = (one.sop_instance_uid for one in result.evidence)
    say(hospital, Word.LOST, first, reason=0x0112)
    say(hospital, Word.LOST, second, reason=0x0112)

    assert hospital.rows("SELECT count(*) FROM job WHERE kind = 'delivery'") == [(2,)]
    deliver(hospital, result, only={first, second})


def test_a_loss_waits_for_a_delivery_in_hand(hospital: Any, result: NewResult) -> None:
    """A worker has read what it owes; the object is asked about again once that delivery has ended."""
    first, second = (one.sop_instance_uid for one in result.evidence)
    say(hospital, Word.LOST, first, reason=0x0112)
    job = hospital.claimed(JobKind.DELIVERY)

    say(hospital, Word.LOST, second, reason=0x0112)

    assert [state for state, *_ in hospital.rows(PROOF)] == ["lost", "owed"]
    hospital.queue.retry(job, Reason("delivery-waiting", "Away."), timedelta(0))
    say(hospital, Word.LOST, second, reason=0x0112)
    deliver(hospital, result, only={first, second})


def test_absence_counts_only_three_times_in_a_row(hospital: Any, result: NewResult) -> None:
    """A query may come before the archive's index; twice absent, then found, is proven."""
    first, second = (one.sop_instance_uid for one in result.evidence)
    say(hospital, Word.ABSENT)
    say(hospital, Word.ABSENT)
    proofs, request = asked(hospital)

    proofs.settle(request, QUERY, [ObjectAnswer(first, Word.HELD), ObjectAnswer(second, Word.ABSENT, "Not found.")])

    assert [state for state, *_ in hospital.rows(PROOF)] == ["proven", "lost"]


def test_an_object_that_is_lost_again_and_again_is_for_an_operator(hospital: Any, result: NewResult) -> None:
    """After three times it is not sent any more, and the sentence names what to do."""
    for _ in range(MOST_RESENDS):
        say(hospital, Word.LOST, reason=0x0112)
        deliver(hospital, result)
    say(hospital, Word.LOST, reason=0x0112)

    assert [state for state, *_ in hospital.rows(PROOF)] == ["unproven", "unproven"]
    [(job_id,)] = hospital.rows("SELECT max(id) FROM job")
    assert f"`overread jobs resubmit {job_id}`" in hospital.rows(PROOF)[0][2]
    assert hospital.audited("delivery-unproven") == 2
    assert hospital.rows("SELECT count(*) FROM job WHERE state = 'scheduled'") == [(0,)]
    hospital.queue.resubmit(job_id, "anna")
    deliver(hospital, result)
    assert [state for state, *_ in hospital.rows(PROOF)] == ["owed", "owed"]


def test_a_canceled_delivery_is_not_begun_again(hospital: Any, result: NewResult) -> None:
    """What an operator stopped stays stopped, and the proof says so."""
    first, second = (one.sop_instance_uid for one in result.evidence)
    say(hospital, Word.LOST, first, reason=0x0112)
    [(job_id,)] = hospital.rows("SELECT max(id) FROM job")
    hospital.queue.cancel(job_id, "anna")

    say(hospital, Word.LOST, second, reason=0x0112)

    assert hospital.rows(PROOF)[1][0] == "unproven"
    assert "An operator canceled its delivery" in hospital.rows(PROOF)[1][2]


def test_a_parked_study_gets_no_further_delivery(hospital: Any, result: NewResult) -> None:
    """A lost object of a study that is held back is told, not sent."""
    hospital.rows("UPDATE study SET parked_at = now(), parked_code = 'x', parked_sentence = 'Held back.'")

    say(hospital, Word.LOST, reason=0x0112)

    assert {state for state, *_ in hospital.rows(PROOF)} == {"unproven"}
    assert "is parked" in hospital.rows(PROOF)[0][2]


def test_another_object_under_our_uid_is_told_at_once(hospital: Any, result: NewResult) -> None:
    """Sending again would not help; nothing is."""
    say(hospital, Word.OTHER, reason=0x0119)

    assert hospital.rows(PROOF) == [("unproven", 0, "It was said.")] * 2
    assert hospital.rows("SELECT count(*) FROM job WHERE kind = 'delivery'") == [(1,)]


def test_a_silent_destination_is_given_up_after_the_limit(hospital: Any, result: NewResult) -> None:
    """What was never asked is asked once, however old; what was asked is given up, and an operator may reopen it."""
    hospital.rows("UPDATE delivery_proof SET since = now() - interval '2 days'")
    proofs, _ = asked(hospital, COMMITMENT)
    hospital.rows("UPDATE delivery_proof SET due_at = now()")

    assert proofs.claim("pacs", COMMITMENT, "PACS", []) is None

    assert [state for state, *_ in hospital.rows(PROOF)] == ["unproven", "unproven"]
    assert "tried once in 48 hours" in hospital.rows(PROOF)[0][2]
    assert hospital.rows(PROOF)[0][2].endswith("It never answered.")
    assert proofs.reopen("pacs", "anna", WISH) == 2
    assert proofs.claim("pacs", COMMITMENT, "PACS", []) is not None
    assert hospital.audited("delivery-proof-reopened") == 2


def _unproven(hospital: Any) -> dict[str, str]:
    """What `deliveries list --unproven` tells of each object: how far it is."""
    rows = PostgresProofs(hospital.database).arrivals(destination="pacs", unproven=True, rows=10)
    return {
        row["sop_instance_uid"]: how_far(
            *(row[name] for name in ("state", "attempts", "status", "proof_state", "proof_way"))
        )
        for row in rows
    }


@pytest.mark.parametrize(
    ("end", "word", "why"),
    [
        ("refused", "refused", "refused it when it was sent again"),
        ("canceled", "canceled", "sending it again was canceled"),
        ("expired", "unproven", "sending it again came to no end: Nobody took it."),
        ("not-needed", "unproven", "it was not sent again: Shown otherwise."),
        ("switched-off", "unproven", "has proof set any more"),
    ],
)
def test_what_was_lost_ends_with_the_delivery_that_sends_it_again(
    hospital: Any, result: NewResult, end: str, word: str, why: str
) -> None:
    """Whatever that comes to but a new acknowledgement, nothing is lost any more, and the operator still finds it."""
    lost, kept = (one.sop_instance_uid for one in result.evidence)
    proofs, request = asked(hospital)
    proofs.settle(request, QUERY, [failure_answer(lost, 0x0112), ObjectAnswer(kept, Word.HELD)])
    job = hospital.claimed(JobKind.DELIVERY)

    match end:
        case "refused":
            refused = [SendOutcome(lost, Verdict.REFUSED, 0xA900, "No such class.")]
            hospital.queue.fail(job, Reason("delivery-refused", "No such class."), refused)
        case "canceled":
            hospital.queue.cancel(job.job_id, "anna")
        case "expired":
            hospital.queue.fail(job, Reason("delivery-expired", "Nobody took it."))
        case "not-needed":
            hospital.queue.complete_delivery(job, [SendOutcome(lost, Verdict.NOT_NEEDED, None, "Shown otherwise.")])
        case _:
            hospital.queue.complete_delivery(job, [SendOutcome(lost, Verdict.DELIVERED, 0, "Stored.")])

    assert sorted(state for state, *_ in hospital.rows(PROOF)) == ["proven", "unproven"]
    assert why in "".join(note for *_, note in hospital.rows(PROOF))
    assert hospital.audited("delivery-unproven") == 1
    assert _unproven(hospital) == {lost: word}
    assert proofs.give_up_left(["pacs"]) == 0


@pytest.mark.parametrize(
    ("came", "word"),
    [
        ({"went_out": False, "out_of_reach": True}, "waiting"),
        ({"status": None}, "sent"),
        ({"status": 0xA700}, "put-off"),
    ],
)
def test_only_what_left_us_is_told_as_sent(hospital: Any, came: dict[str, Any], word: str) -> None:
    """Never offered, offered without an answer and answered are three things to an operator."""
    hospital.install()
    result = hospital.analysed()
    job = hospital.claimed(JobKind.DELIVERY)
    tried = [
        SendOutcome(
            **{"sop_instance_uid": one.sop_instance_uid, "verdict": Verdict.TRY_AGAIN, "status": None} | came, note=""
        )
        for one in result.evidence
    ]

    hospital.queue.retry(job, Reason("delivery-waiting", "Not now."), timedelta(0), tried)

    assert set(_unproven(hospital).values()) == {word}


def test_what_an_earlier_release_left_lost_is_given_up_at_the_start(hospital: Any, result: NewResult) -> None:
    """Its delivery has ended, so nobody sends it again, wherever proof is wanted; while it is under way it stays."""
    say(hospital, Word.LOST, reason=0x0112)
    proofs = PostgresProofs(hospital.database)
    assert proofs.give_up_left(["pacs"]) == 0
    hospital.rows(
        "UPDATE job SET state = 'canceled', finished_at = now(), reason_code = 'canceled', reason_sentence = 'Stopped.'"
        " WHERE state = 'scheduled'"
    )

    assert proofs.give_up_left(["pacs"]) == 2
    assert [(state, "was canceled: Stopped." in note) for state, _, note in hospital.rows(PROOF)] == [
        ("unproven", True)
    ] * 2


def test_what_a_failed_delivery_still_owes_is_not_sent_again_with_a_lost_object(hospital: Any) -> None:
    """The other one was refused: nothing is begun by itself, and an operator has both sent together."""
    hospital.install()
    result = hospital.analysed()
    lost, refused = (one.sop_instance_uid for one in result.evidence)
    job = hospital.claimed(JobKind.DELIVERY)
    said = [
        SendOutcome(lost, Verdict.DELIVERED, 0, "Stored.", proof=WISH),
        SendOutcome(refused, Verdict.REFUSED, 0xA900, "No such class."),
    ]
    hospital.queue.fail(job, Reason("delivery-refused", "No such class."), said)

    say(hospital, Word.LOST, reason=0x0112)

    assert hospital.rows("SELECT count(*) FROM job WHERE state = 'scheduled'") == [(0,)]
    [(state, _, note)] = hospital.rows(PROOF)
    assert (state, f"`overread jobs resubmit {job.job_id}`" in note) == ("unproven", True)
    hospital.queue.resubmit(job.job_id, "anna")
    deliver(hospital, result, only={lost, refused})
    assert [state for state, *_ in hospital.rows(PROOF)] == ["owed", "owed"]


def test_many_proofs_are_given_up_and_asked_again_in_small_transactions(
    hospital: Any, result: NewResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds the locks of its jobs and of the audit trail, so none may grow with the number of objects."""
    monkeypatch.setattr(proof_rows, "_BATCH", 1)
    proofs = PostgresProofs(hospital.database)
    transactions = "SELECT count(DISTINCT xmin::text) FROM delivery_proof"

    assert proofs.give_up_left([]) == 2
    assert hospital.rows(transactions) == [(2,)]
    assert proofs.reopen("pacs", "anna", WISH) == 2
    assert hospital.rows(transactions) == [(2,)]
    assert hospital.audited("delivery-proof-reopened") == 2


def test_where_proof_was_switched_off_nobody_asks_for_ever(hospital: Any, result: NewResult) -> None:
    """What still owed a proof is given up with the reason, once; what is proven stays, and so do other places."""
    first, _ = (one.sop_instance_uid for one in result.evidence)
    proofs, request = asked(hospital)
    proofs.settle(request, QUERY, [ObjectAnswer(first, Word.HELD)])

    assert proofs.give_up_left(["pacs", "archive"]) == 0
    assert proofs.give_up_left(["archive"]) == 1
    assert proofs.give_up_left([]) == 0

    assert sorted(state for state, *_ in hospital.rows(PROOF)) == ["proven", "unproven"]
    assert "has proof set any more" in "".join(note for *_, note in hospital.rows(PROOF))


def test_what_was_acknowledged_before_is_asked_about_on_wish(hospital: Any) -> None:
    """Once a destination is to prove arrival, `deliveries prove` takes up what it acknowledged before."""
    hospital.install()
    deliver(hospital, hospital.analysed(), wish=None)
    proofs = PostgresProofs(hospital.database)

    assert proofs.reopen("elsewhere", "anna", WISH) == 0
    assert proofs.reopen("pacs", "anna", WISH) == 2

    say(hospital, Word.HELD)
    assert [state for state, *_ in hospital.rows(PROOF)] == ["proven", "proven"]


def test_the_story_of_a_study_tells_of_the_proof(hospital: Any, result: NewResult) -> None:
    """What is lost, sent again and found is told in that order by the sentences of `overread explain`."""
    from storage.domain.explanation import sentences

    say(hospital, Word.LOST, reason=0x0112)
    assert "acknowledged by pacs and is sent again: It was said." in " ".join(
        sentences(hospital.overview.explain("1.2.3"))
    )
    deliver(hospital, result)
    assert "pacs was asked 0 times." in " ".join(sentences(hospital.overview.explain("1.2.3")))
    say(hospital, Word.HELD)

    told = " ".join(sentences(hospital.overview.explain("1.2.3")))
    assert "pacs had lost it, so it was sent again (1 time). pacs found it when it was asked at" in told


def report(request: ProofRequest, failures: dict[str, int] | None = None, **facts: Any) -> ReceivedReport:
    """What the destination reports on a question: these failures, and all others committed to."""
    failed = failures or {}
    committed = frozenset(one.sop_instance_uid for one in request.objects) - failed.keys()
    return replace(ReceivedReport(request.request_uid, committed, failed, "PACS", "127.0.0.1"), **facts)


def told(hospital: Any, said: ReceivedReport, *, title_is_listed: bool = False) -> Believed:
    """Take the report."""
    return take_report(hospital.database, said, title_is_listed=title_is_listed)


def test_a_report_proves_what_it_commits_to(hospital: Any, result: NewResult) -> None:
    """One object is committed to, the other is lost and sent again; the word of the first is now committed."""
    lost, kept = (one.sop_instance_uid for one in result.evidence)
    proofs, request = asked(hospital, COMMITMENT)

    assert told(hospital, report(request, {lost: 0x0112})) is Believed.TAKEN

    rows = {row["sop_instance_uid"]: row for row in proofs.arrivals(destination=None, unproven=False, rows=10)}
    assert (rows[kept]["proof_state"], rows[kept]["proof_way"]) == ("proven", "commitment")
    assert rows[lost]["proof_state"] == "lost"
    deliver(hospital, result, only={lost})


def test_the_second_report_changes_nothing(hospital: Any, result: NewResult) -> None:
    """The same report again sends nothing again; one that says the opposite neither."""
    lost, _ = (one.sop_instance_uid for one in result.evidence)
    _, request = asked(hospital, COMMITMENT)
    told(hospital, report(request, {lost: 0x0112}))
    before = hospital.rows("SELECT * FROM delivery_proof"), hospital.rows("SELECT count(*) FROM job")

    told(hospital, report(request, {lost: 0x0112}))
    told(hospital, report(request))
    told(hospital, report(request, {one.sop_instance_uid: 0x0112 for one in request.objects}))

    assert (hospital.rows("SELECT * FROM delivery_proof"), hospital.rows("SELECT count(*) FROM job")) == before
    assert hospital.rows("SELECT reports FROM commitment_question") == [(4,)]


def test_a_success_counts_however_late_it_comes(hospital: Any, result: NewResult) -> None:
    """After the question was put again, and after we gave up: what was committed to meanwhile is proven."""
    first, second = (one.sop_instance_uid for one in result.evidence)
    _, earlier = asked(hospital, COMMITMENT)
    asked(hospital, COMMITMENT)

    told(hospital, report(earlier, committed=frozenset({first})))
    assert [state for state, *_ in hospital.rows(PROOF)] == ["proven", "asked"]
    hospital.rows("UPDATE delivery_proof SET state = 'unproven', note = 'Too long.' WHERE state = 'asked'")
    told(hospital, report(earlier, committed=frozenset({second})))

    assert [state for state, *_ in hospital.rows(PROOF)] == ["proven", "proven"]


@pytest.mark.parametrize("state", ["asked", "owed", "unproven"])
def test_a_loss_counts_however_late_it_is_told(hospital: Any, result: NewResult, state: str) -> None:
    """The destination has not what it acknowledged, also if the question was put again or given up; it counts once."""
    _, earlier = asked(hospital, COMMITMENT)
    asked(hospital, COMMITMENT)
    hospital.rows(f"UPDATE delivery_proof SET state = '{state}', note = 'So far.'")  # noqa: S608 - of the list above
    lost = report(earlier, {one.sop_instance_uid: 0x0112 for one in earlier.objects})

    told(hospital, lost)
    told(hospital, lost)

    assert [row[:2] for row in hospital.rows(PROOF)] == [("lost", 1), ("lost", 1)]
    assert hospital.rows("SELECT count(*) FROM job WHERE kind = 'delivery'") == [(2,)]
    deliver(hospital, result)
    told(hospital, lost)
    assert [state for state, *_ in hospital.rows(PROOF)] == ["owed", "owed"]


def test_any_other_failure_counts_for_the_latest_question_only(hospital: Any, result: NewResult) -> None:
    """An earlier question that is answered late with no certain word changes nothing."""
    _, earlier = asked(hospital, COMMITMENT)
    asked(hospital, COMMITMENT)

    told(hospital, report(earlier, {one.sop_instance_uid: 0x0110 for one in earlier.objects}))

    assert [state for state, *_ in hospital.rows(PROOF)] == ["asked", "asked"]


def test_a_late_loss_that_is_not_sent_again_is_told_once(hospital: Any, result: NewResult) -> None:
    """We gave up because nothing was said; now something is, and the sentence must not go on saying otherwise."""
    _, earlier = asked(hospital, COMMITMENT)
    hospital.rows("UPDATE delivery_proof SET state = 'unproven', note = 'Nothing was said.'")
    hospital.rows("UPDATE study SET parked_at = now(), parked_code = 'x', parked_sentence = 'Held back.'")
    lost = report(earlier, {one.sop_instance_uid: 0x0112 for one in earlier.objects})

    told(hospital, lost)
    told(hospital, lost)

    assert {(state, "no such object (0x0112)" in note) for state, _, note in hospital.rows(PROOF)} == {
        ("unproven", True)
    }
    assert hospital.audited("delivery-unproven") == 2


def test_after_an_operator_reopened_it_an_earlier_success_still_counts(hospital: Any, result: NewResult) -> None:
    """Nothing was sent again meanwhile, so that it is there is as true as before; that it was lost is asked anew."""
    first, second = (one.sop_instance_uid for one in result.evidence)
    proofs, earlier = asked(hospital, COMMITMENT)
    proofs.give_up_left([])
    proofs.reopen("pacs", "anna", WISH)

    told(hospital, report(earlier, {second: 0x0112}, committed=frozenset({first})))

    assert sorted(state for state, *_ in hospital.rows(PROOF)) == ["owed", "proven"]


def test_a_report_from_before_an_object_was_sent_again_proves_nothing(hospital: Any, result: NewResult) -> None:
    """What was lost after the report was made is not proven by it."""
    _, earlier = asked(hospital, COMMITMENT)
    told(hospital, report(earlier, {one.sop_instance_uid: 0x0112 for one in earlier.objects}))
    deliver(hospital, result)

    told(hospital, report(earlier))

    assert [state for state, *_ in hospital.rows(PROOF)] == ["owed", "owed"]


def test_an_object_that_a_report_does_not_name_is_asked_about_again(hospital: Any, result: NewResult) -> None:
    """Neither committed to nor failed: nothing is known of it, and its note says so."""
    first, _ = (one.sop_instance_uid for one in result.evidence)
    _, request = asked(hospital, COMMITMENT)

    told(hospital, report(request, committed=frozenset({first})))

    assert [row[:2] for row in hospital.rows(PROOF)] == [("proven", 0), ("owed", 0)]
    assert "does not name the object" in hospital.rows(PROOF)[1][2]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"transaction_uid": "2.25.1"}, Believed.UNKNOWN_TRANSACTION),
        ({"calling_ae_title": "OTHER"}, Believed.NOT_THE_DESTINATION),
        ({"remote_address": "10.9.9.9"}, Believed.NOT_THE_DESTINATION),
    ],
)
def test_whoever_was_not_asked_proves_nothing(
    hospital: Any, result: NewResult, facts: dict[str, str], why: Believed
) -> None:
    """An unknown transaction, another title, another address: nothing changes, and the audit trail names who it was."""
    _, request = asked(hospital, COMMITMENT)
    before = hospital.rows("SELECT * FROM delivery_proof")

    assert told(hospital, report(request, **facts)) is why

    assert hospital.rows("SELECT * FROM delivery_proof") == before
    [(outcome, details)] = hospital.rows(
        "SELECT outcome, details FROM audit_event WHERE action = 'commitment-report-refused'"
    )
    assert outcome == "serious-failure"
    assert (details["why"], details["objects"]) == (str(why), 2)


def test_reports_that_are_not_believed_are_counted_instead_of_audited_each(hospital: Any, result: NewResult) -> None:
    """Whoever floods us with them fills no audit trail; an hour later one row tells how many there were."""
    _, request = asked(hospital, COMMITMENT)
    refused = (
        "SELECT (details ->> 'reports')::int FROM audit_event WHERE action = 'commitment-report-refused' ORDER BY id"
    )
    for title in ("A", "B", "C"):
        told(hospital, report(request, calling_ae_title=title))
    told(hospital, report(request, transaction_uid="2.25.1"))
    assert hospital.rows(refused) == [(1,), (1,)]
    assert tell_refused_reports(hospital.database) == 0

    hospital.rows("UPDATE refused_report SET told_at = told_at - interval '61 minutes'")
    assert tell_refused_reports(hospital.database) == 1
    assert tell_refused_reports(hospital.database) == 0
    assert hospital.rows(refused) == [(1,), (1,), (2,)]

    hospital.rows("UPDATE refused_report SET told_at = told_at - interval '61 minutes'")
    told(hospital, report(request, calling_ae_title="D"))
    assert hospital.rows(refused) == [(1,), (1,), (2,), (1,)]

    hospital.rows("UPDATE refused_report SET told_at = told_at - interval '31 days' WHERE why <> 'unknown-transaction'")
    assert tell_refused_reports(hospital.database) == 0
    assert hospital.rows("SELECT why FROM refused_report") == [("unknown-transaction",)]


def test_questions_are_forgotten_once_no_report_on_them_counts(hospital: Any, result: NewResult) -> None:
    """A season later a row of each question is only in the way; the newer ones stay."""
    asked(hospital, COMMITMENT)
    hospital.rows("UPDATE commitment_question SET asked_at = now() - interval '91 days'")
    _, new = asked(hospital, COMMITMENT)

    assert forget_questions(hospital.database) == 1

    assert hospital.rows("SELECT transaction_uid FROM commitment_question") == [(new.request_uid,)]


def test_a_destination_may_report_from_where_its_title_is_listed(hospital: Any, result: NewResult) -> None:
    """An archive of several machines reports from one that we did not ask; its entry among the peers vouches for it."""
    _, request = asked(hospital, COMMITMENT)
    elsewhere = report(request, remote_address="10.9.9.9")

    assert told(hospital, replace(elsewhere, calling_ae_title="OTHER"), title_is_listed=True) is not Believed.TAKEN
    assert told(hospital, elsewhere, title_is_listed=True) is Believed.TAKEN
    assert [state for state, *_ in hospital.rows(PROOF)] == ["proven", "proven"]


def test_an_address_of_both_kinds_is_the_same(hospital: Any, result: NewResult) -> None:
    """A listener on all addresses shows an IPv4 peer as an IPv6 one."""
    _, request = asked(hospital, COMMITMENT)

    assert told(hospital, report(request, remote_address="::ffff:127.0.0.1")) is Believed.TAKEN


def test_a_report_and_a_delivery_of_one_job_do_not_lock_each_other_out(hospital: Any, result: NewResult) -> None:
    """A worker that settles waits for no report, and a report waits for it: neither is lost."""
    first, second = (one.sop_instance_uid for one in result.evidence)
    proofs, request = asked(hospital, COMMITMENT)
    proofs.settle(request, COMMITMENT, [failure_answer(first, 0x0112)])
    job = hospital.claimed(JobKind.DELIVERY)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    believed: list[Believed] = []
    taking = threading.Thread(target=lambda: believed.append(told(hospital, report(request, {second: 0x0112}))))

    with hospital.database.transaction() as session:
        held = hold(session, job)
        taking.start()
        while hospital.rows(waiting) == [(0,)]:
            pass
        record_outcomes(session, held, [one for one in outcomes(result) if one.sop_instance_uid == first])
    taking.join()

    assert believed == [Believed.TAKEN]
    states = dict(
        hospital.rows(
            "SELECT sop_instance_uid, delivery_proof.state FROM delivery_proof "
            "JOIN delivery ON delivery.id = delivery_id JOIN evidence ON evidence.id = evidence_id"
        )
    )
    assert states == {first: "owed", second: "owed"}  # its delivery is in hand, so it is asked about again


def test_what_is_due_is_found_by_its_index(hospital: Any, result: NewResult) -> None:
    """With tens of thousands of proven objects a look for the next question reads none of them."""
    hospital.rows(
        "SET session_replication_role = replica; INSERT INTO delivery_proof "
        "(delivery_id, destination, way, state, proven_at) "
        "SELECT number, 'pacs', 'query', 'proven', now() FROM generate_series(1000, 31000) AS number; "
        "SET session_replication_role = origin; ANALYZE delivery_proof"
    )
    of_open = {"delivery_proof_due", "delivery_proof_open"}  # they hold no row of what is proven
    for name, parameters in [
        ("claim_proofs", {"way": "query", "request_uid": "2.25.1", "patience_seconds": 1}),
        ("overdue_proofs", {"give_up_seconds": 1}),
        ("summary_proofs", {"days": 7}),
    ]:
        with hospital.database.transaction() as session:
            explain = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement(name).text}")
            plan = str(session.execute(explain, {"destination": "pacs", "most": 100} | parameters).scalar_one())
        used = set(re.findall(r"'Index Name': '(delivery_proof_\w+)'", plan))
        assert used & of_open, name
        assert not re.search(r"'Seq Scan'[^{}]*'Relation Name': 'delivery_proof'", plan), name
