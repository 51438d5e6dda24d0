"""Verdicts in rows: which are taken, which count, and what share of each version's findings was accepted."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from storage.domain.coded_concept import CodedConcept
from storage.domain.feedback import Feedback, FeedbackSource, Verdict
from storage.domain.finding import Finding
from storage.domain.result import NewResult
from storage.errors import UnknownRecord
from storage.postgres.feedback_rows import PostgresFeedbackBook
from tests.integration.postgres.conftest import Hospital

ACCEPT, REJECT = Verdict.ACCEPT, Verdict.REJECT


def finding(uid: str, label: str = "Liver") -> Finding:
    """A structure that was outlined."""
    return Finding(CodedConcept("10200004", "SCT", "Liver"), None, f"lungs {label}", uid, label=label)


def found(hospital: Hospital, study: str, *findings: Finding) -> NewResult:
    """A study that was analysed with these findings."""
    arrivals = hospital.stable_study(study)
    result = replace(hospital.result(arrivals), findings=findings)
    hospital.queue.complete_analysed(hospital.claimed(), result, ())
    return result


def said(result_id: int, uid: str, verdict: Verdict, actor: str = "anna") -> Feedback:
    """A verdict given in the dashboard."""
    return Feedback(result_id, uid, verdict, FeedbackSource.DASHBOARD, actor)


def test_a_verdict_said_twice_is_one_row_and_a_changed_mind_a_second(hospital: Hospital) -> None:
    """All are kept with their audit rows, and the newest counts."""
    hospital.install()
    found(hospital, "1.2.3", finding("2.25.1"))
    book = PostgresFeedbackBook(hospital.database)

    given = [book.give("1.2.3", said(1, "2.25.1", verdict), "10.0.0.1") for verdict in (ACCEPT, ACCEPT, REJECT, ACCEPT)]

    assert given == [True, False, True, True]
    assert [row["verdict"] for row in book.of_study("1.2.3")] == ["accept", "reject", "accept"]
    assert hospital.audited("feedback-given") == 3
    (row,) = book.agreement()
    assert {name: row[name] for name in ("results", "findings", "judged", "accepted", "rejected", "changed")} == {
        **{"results": 1, "findings": 1, "judged": 1, "accepted": 1, "rejected": 0, "changed": 0}
    }
    assert book.give("1.2.3", said(1, "2.25.1", ACCEPT, "bert")), "another reader's opinion is another row"


def test_two_who_say_the_same_at_once_by_one_account_are_one_row(open_hospital: Callable[..., Hospital]) -> None:
    """A double click is one verdict, whichever of its two requests is first."""
    hospital = open_hospital()
    hospital.install()
    found(hospital, "1.2.3", finding("2.25.1"))
    book, given = PostgresFeedbackBook(hospital.database), []
    begin = threading.Barrier(4)

    def give() -> None:
        begin.wait()
        given.append(book.give("1.2.3", said(1, "2.25.1", REJECT)))

    threads = [threading.Thread(target=give) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(given) == [False, False, False, True]


def test_only_what_was_shown_to_a_reader_is_judged(hospital: Hospital) -> None:
    """Another study's result, a finding of another result, and the whole of a result with findings are refused."""
    hospital.install()
    found(hospital, "1.2.3", finding("2.25.1"))
    found(hospital, "1.2.4")
    book = PostgresFeedbackBook(hospital.database)

    for study, feedback in [
        ("1.2.4", said(1, "2.25.1", ACCEPT)),
        ("1.2.3", said(1, "2.25.9", ACCEPT)),
        ("1.2.3", said(1, "", ACCEPT)),
        ("1.2.3", said(9, "2.25.1", ACCEPT)),
    ]:
        with pytest.raises(UnknownRecord):
            book.give(study, feedback)
    hospital.rows("SET session_replication_role = replica; UPDATE job SET priority = 'low', shadow = true WHERE id = 1")
    with pytest.raises(UnknownRecord):
        book.give("1.2.3", said(1, "2.25.1", ACCEPT))

    assert book.of_study("1.2.3") == []
    assert book.give("1.2.4", said(2, "", REJECT)), "nothing found can be wrong"
    (row,) = book.agreement()
    assert (row["results"], row["findings"], row["rejected"]) == (1, 1, 1), "what is in shadow is not counted"


def test_a_finding_counts_once_however_often_its_job_was_done(hospital: Hospital) -> None:
    """A repetition has the same Tracking UIDs; what was said of either is said of the finding, the newest last."""
    hospital.install()
    result = found(hospital, "1.2.3", finding("2.25.1"), finding("2.25.2", "Spleen"))
    book = PostgresFeedbackBook(hospital.database)
    book.give("1.2.3", said(1, "2.25.1", REJECT))
    hospital.queue.resubmit(1, "tester")
    hospital.queue.complete_analysed(hospital.claimed(), result, ())
    book.give("1.2.3", said(2, "2.25.1", ACCEPT))

    (row,) = book.agreement("lungs")
    given = book.given(algorithm=None, study_instance_uid=None, verdict=None, rows=9)

    assert [(one["verdict"], one["counts"]) for one in given] == [("accept", True), ("reject", False)]
    assert (row["results"], row["findings"], row["judged"], row["accepted"]) == (2, 2, 1, 1)
    assert (row["share"], row["low"], row["high"]) == (1.0, pytest.approx(0.2065, abs=1e-4), 1.0)
    with pytest.raises(UnknownRecord, match="spleens"):
        book.agreement("spleens")


def test_each_version_has_its_own_share(hospital: Hospital) -> None:
    """The newest version stands first; one that nobody judged has no share."""
    hospital.install()
    found(hospital, "1.2.3", finding("2.25.1"))
    PostgresFeedbackBook(hospital.database).give("1.2.3", said(1, "2.25.1", REJECT))
    hospital.install(version="2")
    found(hospital, "1.2.4", finding("2.25.2"))

    rows = PostgresFeedbackBook(hospital.database).agreement()

    assert [(row["version"], row["judged"], row["share"]) for row in rows] == [("2", 0, None), ("1", 1, 0.0)]


def test_the_story_of_a_study_tells_each_verdict(hospital: Hospital) -> None:
    """`overread explain` says of which finding, what, by whom and when."""
    from storage.domain.explanation import sentences

    hospital.install()
    found(hospital, "1.2.3", finding("2.25.1"))
    PostgresFeedbackBook(hospital.database).give("1.2.3", said(1, "2.25.1", REJECT))

    told = list(sentences(hospital.overview.explain("1.2.3")))

    assert any(one.startswith("Liver was rejected in the dashboard by anna at 20") for one in told)
