"""What the pages say of real rows, and what a look at them leaves behind."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from markupsafe import escape

from listener.scu.settings import DestinationSettings
from storage.domain.algorithm_history import more_of, what_happened
from storage.domain.association import AssociationEnd
from storage.domain.audit_event import AuditOutcome
from storage.domain.delivery import SendOutcome, Verdict
from storage.domain.job import JobKind, Reason, Refusal
from storage.domain.notification import Answer, NotificationEvent, ReceiverPolicy
from storage.domain.open_trouble import open_trouble
from storage.domain.proof import ObjectAnswer, ProofPolicy, ProofWay, ProofWish, Word, failure_answer
from storage.domain.result import ResultPicture
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.notification_rows import PostgresNotifications
from storage.postgres.proof_rows import PostgresProofs
from storage.settings import JobSettings
from tests.integration.postgres.conftest import Hospital
from tests.peers.web_door import WebDoor, form_of, opened

PNG = b"\x89PNG\r\n\x1a\n is not looked into"


@pytest.fixture
def hospital(database_url: str, tmp_path: Path) -> Iterator[Hospital]:
    """Rows behind the pages, made by hand."""
    database = open_database(database_url, "test")
    made = Hospital(database_url, database, ObjectStore(DataFolder(tmp_path)))
    yield made
    made.queue.close()
    database.close()


def _looks(hospital: Hospital) -> list[tuple[str, str, str]]:
    return [
        (actor, study, details["what"])
        for actor, study, details in hospital.rows(
            "SELECT actor, study_instance_uid, details FROM audit_event WHERE action = 'study-viewed' ORDER BY id"
        )
    ]


def test_an_empty_site_is_told_what_to_do_next(web_door: WebDoor) -> None:
    """A first look ends with the next step, on every page."""
    operator = web_door.logged_in("operator")

    overview = operator.get("/").text
    assert "Nothing has arrived yet" in overview
    assert "overread algorithms add" in overview
    assert "[[destinations]]" in overview
    assert "Send one by C-STORE" in operator.get("/studies?days=all").text
    assert "No work has been scheduled yet" in operator.get("/jobs").text
    assert "overread algorithms add" in operator.get("/algorithms").text


def test_who_was_turned_away_needs_a_look(web_door: WebDoor, hospital: Hospital) -> None:
    """Before anything has arrived too: each sender once, with both titles, its address and the newest reason."""
    operator = web_door.logged_in("operator")
    assert "Needs a look" not in operator.get("/").text
    for reason in ("An older reason.", "The calling AE title and address match no [[listener.peers]] entry."):
        asked = hospital.association(calling_ae_title="CT<9>", remote_address="10.1.7.9")
        ended = replace(asked, ended_at=asked.started_at, end=AssociationEnd.REJECTED, reason=reason)
        ended = replace(ended, started_at=datetime.now(UTC), ended_at=datetime.now(UTC))
        hospital.arrivals.record([], [], [ended])

    overview = operator.get("/").text

    assert "Nothing has arrived yet" in overview
    assert "CT&lt;9&gt; at 10.1.7.9, calling OVERREAD, 2 times" in overview
    assert "match no [[listener.peers]] entry" in overview
    assert "An older reason" not in overview


def test_each_look_at_a_study_is_one_audit_row(web_door: WebDoor, hospital: Hospital) -> None:
    """The row names who looked at which study; a study that is not there leaves none."""
    hospital.stable_study("1.2.3")
    viewer = web_door.logged_in("viewer")

    assert "P1" in viewer.get("/studies/1.2.3").text
    assert viewer.get("/studies/9.9.9").status_code == 404
    assert viewer.get("/studies/Doe^Jane").status_code == 404
    viewer.get("/studies/1.2.3")

    assert _looks(hospital) == [("viewer", "1.2.3", "page")] * 2


def test_a_look_that_cannot_be_written_down_is_not_given(web_door: WebDoor, hospital: Hospital) -> None:
    """If the audit trail takes no row, the study is not shown."""
    hospital.stable_study("1.2.3")
    viewer = web_door.logged_in("viewer")
    hospital.rows(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION refuse()"
    )

    answer = viewer.get("/studies/1.2.3")

    assert answer.status_code >= 500
    assert "P1" not in answer.text


def test_a_picture_counts_under_the_look_at_its_page(web_door: WebDoor, hospital: Hospital) -> None:
    """Pictures of an open page leave no row of their own; one that is opened by its address alone does."""
    hospital.install()
    arrivals = hospital.stable_study("1.2.3")
    result = replace(hospital.result(arrivals), pictures=(ResultPicture("Axial", PNG),))
    hospital.queue.complete_analysed(hospital.claimed(), result, [])
    viewer, other = web_door.logged_in("viewer"), web_door.logged_in("operator")
    (address,) = re.findall(r'<img src="(/studies/[^"]+)"', viewer.get("/studies/1.2.3").text)

    shown = viewer.get(address)
    assert (shown.content, shown.headers["content-type"]) == (PNG, "image/png")
    assert shown.headers["cache-control"] == "no-store"
    assert _looks(hospital) == [("viewer", "1.2.3", "page")]
    assert other.get(address).content == PNG
    assert _looks(hospital)[1:] == [("operator", "1.2.3", "picture")]


def test_a_picture_belongs_to_its_study(web_door: WebDoor, hospital: Hospital) -> None:
    """A digest that is no picture of this study opens nothing, whatever else is stored under it."""
    hospital.install()
    hospital.analysed("1.2.3", ())
    ((evidence,),) = hospital.rows("SELECT sha256 FROM evidence LIMIT 1")
    viewer = web_door.logged_in("viewer")

    for address in (evidence, "a" * 64, "..%2F..%2Fsite-secret"):
        assert viewer.get(f"/studies/1.2.3/pictures/{address}").status_code == 404
    assert viewer.get("/studies/9.9.9/pictures/" + "a" * 64).status_code == 404


def test_what_failed_stands_on_the_first_page_with_its_reason(web_door: WebDoor, hospital: Hospital) -> None:
    """A study that failed, and objects that were set aside, are told in sentences; an auditor gets no link to it."""
    hospital.install()
    hospital.stable_study("1.2.3")
    hospital.queue.fail(hospital.claimed(), Reason("no-memory", "The model needs more memory than there is."))
    hospital.arrivals.record([], [hospital.quarantined()], [])
    operator, auditor = web_door.logged_in("operator"), web_door.logged_in("auditor")

    named = "<strong>lungs 1:</strong> The model needs more memory than there is."
    for page in (operator.get("/").text, auditor.get("/").text):
        assert named in page
        assert "1 object set aside" in page
        assert "P1" not in page
    assert named in operator.get("/studies/1.2.3").text
    assert 'href="/studies/1.2.3"' in operator.get("/").text
    assert 'href="/studies' not in auditor.get("/").text


def test_a_study_that_was_not_analysed_shows_what_was_told(web_door: WebDoor, hospital: Hospital) -> None:
    """The page says that a report of no result was sent, shows its words, and never that the study was analysed."""
    hospital.install()
    arrivals = hospital.stable_study("1.2.3")
    hospital.queue.fail(hospital.claimed(), Reason("gap", "About 1 slices are missing."))
    report = replace(hospital.result(arrivals), execution_provider="", report_text="NOT ANALYSED by lungs 1.")
    report = replace(report, evidence=report.evidence[:1])
    hospital.queue.complete_notice(hospital.claimed(JobKind.NOTICE), report, ["pacs"])
    (owed,) = report.evidence
    sent = SendOutcome(owed.sop_instance_uid, Verdict.DELIVERED, 0, "")
    hospital.queue.complete_delivery(hospital.claimed(JobKind.DELIVERY), [sent])

    page = web_door.logged_in("operator").get("/studies/1.2.3").text

    assert "NOT ANALYSED by lungs 1." in page
    assert "The &#34;Not analysed&#34; report of lungs 1 was made for the destinations." in page
    assert f"The not-analysed report ({owed.form}) {owed.sop_instance_uid} of lungs 1 was acknowledged by pacs" in page
    assert "Report of no result by lungs 1" in page
    assert "<dt>Tells of</dt>" in page
    assert re.search(r"<h1>Study [^/]*failed", page)
    assert re.search(r"<h2>lungs 1 [^/]*not-analysed", page)


def _bar(page: str) -> str:
    """The way through that a study's page shows, as text."""
    (bar,) = re.findall(r'<ol class="steps".*?</ol>', page, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", bar).split())


def test_only_who_took_something_is_named_as_delivered_to(web_door: WebDoor, hospital: Hospital) -> None:
    """Of a destination that shows nothing of the result the bar says that, and not that it was delivered there."""
    hospital.install()
    result = hospital.analysed("1.2.3", ("pacs", "slicer"))
    uids = [one.sop_instance_uid for one in result.evidence]
    sent = [SendOutcome(uid, Verdict.DELIVERED, 0, "") for uid in uids]
    unneeded = [SendOutcome(uid, Verdict.NOT_NEEDED, None, "It shows nothing of the kind.") for uid in uids]
    for _ in ("pacs", "slicer"):
        job = hospital.claimed(JobKind.DELIVERY)
        hospital.queue.complete_delivery(job, sent if job.destination == "pacs" else unneeded)

    bar = _bar(web_door.logged_in("viewer").get("/studies/1.2.3").text)

    assert bar.endswith("pacs; nothing of it is shown at slicer")


def test_a_study_that_no_destination_shows_waits_for_no_delivery(web_door: WebDoor, hospital: Hospital) -> None:
    """Where nothing is to be sent, the bar does not say that it is not sent yet."""
    hospital.install()
    result = hospital.analysed("1.2.3", ("slicer",))
    unneeded = [SendOutcome(one.sop_instance_uid, Verdict.NOT_NEEDED, None, "No.") for one in result.evidence]
    hospital.queue.complete_delivery(hospital.claimed(JobKind.DELIVERY), unneeded)

    bar = _bar(web_door.logged_in("viewer").get("/studies/1.2.3").text)

    assert bar.endswith("delivered nothing of it is shown at slicer")


def test_what_was_not_needed_is_one_line_for_each_destination(web_door: WebDoor, hospital: Hospital) -> None:
    """It names the forms once, on the page, in the story and nowhere object by object."""
    hospital.install()
    result = hospital.analysed("1.2.3", ("slicer",))
    unneeded = [SendOutcome(one.sop_instance_uid, Verdict.NOT_NEEDED, None, "No.") for one in result.evidence]
    hospital.queue.complete_delivery(hospital.claimed(JobKind.DELIVERY), unneeded)

    page = web_door.logged_in("viewer").get("/studies/1.2.3").text

    assert page.count("Not needed at slicer, or not shown there: ") == 2
    assert 'data-label="Object">comprehensive-3d<' in page
    assert ">not-needed<" not in page
    assert "was not needed" not in page


def test_an_older_run_is_folded_and_marked(web_door: WebDoor, hospital: Hospital) -> None:
    """Whoever opens the page reads the newest result, and sees of every other that it is older."""
    hospital.install()
    hospital.analysed("1.2.3", ())
    assert "older" not in web_door.logged_in("viewer").get("/studies/1.2.3").text
    arrivals = [hospital.arrival("1.2.3")]
    hospital.receive(*arrivals)
    hospital.settle()
    hospital.queue.complete_analysed(
        hospital.claimed(), replace(hospital.result(arrivals, "2"), report_text="New."), ()
    )

    page = web_door.logged_in("operator").get("/studies/1.2.3").text

    before, folded = page.split('<details id="older-runs"')
    assert "New." in before
    assert "No finding." not in before
    assert re.search(r"<h2>lungs 1 <span[^>]*>older<", folded)


@pytest.mark.parametrize(
    ("code", "because"),
    [
        ("modality-not-accepted", "no series is an image series of a modality that lungs 1 takes"),
        ("gap", "[jobs] not_analysed was &#34;never&#34;"),
    ],
)
def test_where_no_report_of_no_result_is_sent_the_page_says_why(
    web_door: WebDoor, hospital: Hospital, code: str, because: str
) -> None:
    """The bar does not run on to a delivery that never comes, and a sentence tells why none was sent."""
    hospital.queue.close()
    hospital.queue = PostgresJobQueue(
        hospital.database, hospital.objects, JobSettings(not_analysed="same-modality" if code != "gap" else "never")
    )
    hospital.install()
    hospital.stable_study("1.2.3")
    reason = Reason(code, "It takes something else.")
    hospital.queue.complete_not_analysed(hospital.claimed(), reason, [Refusal("1.2.3.1", reason)])

    page = web_door.logged_in("viewer").get("/studies/1.2.3").text

    assert '<li class="ended">\n    <strong>not analysed</strong>' in page
    assert "reached" not in page.partition("not analysed</strong>")[2]
    assert _bar(page).endswith("delivered nothing to deliver")
    assert f"No &#34;Not analysed&#34; report was sent, because {because}" in page


@pytest.mark.parametrize(("state", "told"), [("failed", "given up"), ("canceled", "canceled by an operator")])
def test_the_bar_of_work_that_ended_without_a_result_does_not_wait(
    web_door: WebDoor, hospital: Hospital, state: str, told: str
) -> None:
    """What was given up or canceled is not shown as analysed, nor as about to be."""
    hospital.install()
    hospital.stable_study("1.2.3")
    if state == "failed":
        hospital.queue.fail(hospital.claimed(), Reason("no-memory", "The model needs more memory."))
    else:
        hospital.queue.cancel(1, "alice")

    page = web_door.logged_in("viewer").get("/studies/1.2.3").text

    # The report on a failure is still to be made; what was canceled is told to nobody.
    last = "not yet" if state == "failed" else "nothing to deliver"
    assert _bar(page).endswith(f"not analysed {told} delivered {last}")
    assert ("because an operator canceled the analysis" in page) == (state == "canceled")


def test_a_study_that_no_algorithm_looked_at_has_no_report_either(web_door: WebDoor, hospital: Hospital) -> None:
    """The page says so where there was no job at all."""
    hospital.stable_study("1.2.3")

    page = web_door.logged_in("viewer").get("/studies/1.2.3").text

    assert _bar(page).endswith("delivered nothing to deliver")
    assert "No &#34;Not analysed&#34; report was sent, because no algorithm looked at it." in page


def test_the_list_is_paged_and_filtered(web_door: WebDoor, hospital: Hospital) -> None:
    """Every study is on exactly one page; a state shows those in it and no others."""
    for number in range(60):
        hospital.receive(hospital.arrival(f"1.2.{number}"))
    hospital.settle()
    hospital.receive(hospital.arrival("1.9"))
    viewer = web_door.logged_in("viewer")

    seen: list[str] = []
    address = "/studies"
    while address:
        page = viewer.get(address).text
        seen += re.findall(r'href="/studies/([0-9.]+)"', page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        address = older[1].replace("&amp;", "&") if older else ""

    assert len(seen) == len(set(seen)) == 61
    assert re.findall(r'href="/studies/([0-9.]+)"', viewer.get("/studies?state=receiving").text) == ["1.9"]
    assert viewer.get("/studies?state=nonsense").status_code == 422
    assert "before=" not in viewer.get("/studies?before=nonsense&days=1&state=failed").text


def test_an_operator_cancels_and_resubmits(web_door: WebDoor, hospital: Hospital) -> None:
    """What the buttons send does what they say, in the operator's name; a second press is told, not done."""
    hospital.install()
    hospital.stable_study("1.2.3")
    operator = web_door.logged_in("operator")
    form = form_of(operator, "/jobs")

    assert operator.post("/jobs/1/cancel", data=form).status_code == 303
    assert "An operator canceled the job" in operator.get("/jobs").text
    again = operator.post("/jobs/1/resubmit", data=form | {"back": "/studies/1.2.3"})
    assert again.headers["location"] == "/studies/1.2.3"
    refused = operator.post("/jobs/1/resubmit", data=form)
    assert refused.status_code == 409
    assert "already resubmitted as job 2" in refused.text
    assert operator.post("/jobs/99/cancel", data=form).status_code == 404
    actors = hospital.rows("SELECT actor FROM audit_event WHERE action = 'job-canceled'")
    assert actors == [("operator",)]
    assert hospital.claimed(JobKind.INFERENCE).job_id == 2


def test_an_operator_has_a_job_done_first(web_door: WebDoor, hospital: Hospital) -> None:
    """What turns out to be urgent overtakes what waits; the page marks it, and offers it for nothing that is STAT."""
    hospital.install()
    hospital.stable_study("1.2.3")
    hospital.stable_study("1.2.4")
    operator = web_door.logged_in("operator")
    form = form_of(operator, "/jobs")
    assert operator.get("/jobs").text.count("/prioritise") == 2

    assert operator.post("/jobs/2/prioritise", data=form | {"back": "/studies/1.2.4"}).status_code == 303

    page = operator.get("/jobs").text
    assert re.findall("/jobs/([0-9]+)/prioritise", page) == ["1"]
    assert page.count(">stat<") == 1
    assert hospital.claimed(JobKind.INFERENCE).job_id == 2
    assert hospital.rows("SELECT actor FROM audit_event WHERE action = 'job-prioritised'") == [("operator",)]
    late = operator.post("/jobs/2/prioritise", data=form)
    assert late.status_code == 409
    assert "Job 2 is in_progress" in late.text


def test_reading_the_audit_trail_is_audited(web_door: WebDoor, hospital: Hospital) -> None:
    """Who watches is watched too; the filter finds the row of the look itself."""
    hospital.stable_study("1.2.3")
    auditor = web_door.logged_in("auditor")

    page = auditor.get("/audit", params={"study": "1.2.3"}).text
    assert "study-stable" in page
    assert "login-succeeded" not in page.partition("<tbody>")[2]
    assert hospital.rows("SELECT actor FROM audit_event WHERE action = 'audit-read'") == [("auditor",)]
    assert "audit-read" in auditor.get("/audit?action=audit-read").text.partition("<tbody>")[2]


def test_a_page_that_updates_itself_does_not_keep_its_session_alive(web_door: WebDoor, hospital: Hospital) -> None:
    """A page left open overnight ends with the idle time, however much happens on it."""
    viewer = web_door.logged_in("viewer")
    hospital.rows("UPDATE web_session SET last_seen_at = now() - interval '29 minutes'")

    assert viewer.get("/", headers={"X-Overread-Live": "1"}).status_code == 200
    ((idle,),) = hospital.rows("SELECT last_seen_at < now() - interval '20 minutes' FROM web_session")
    assert idle


def test_figures_for_prometheus_are_those_of_the_rows(web_door: WebDoor, hospital: Hospital) -> None:
    """Studies, jobs, deliveries and quarantine are counted by their states."""
    hospital.install()
    hospital.analysed("1.2.3", ("pacs",))
    hospital.arrivals.record([], [hospital.quarantined()], [])
    program = web_door.browser()
    program.auth = ("operator", "a long enough password")
    lines = program.get("/metrics").text.splitlines()

    assert 'overread_studies{state="delivering"} 1.0' in lines
    assert 'overread_jobs{kind="delivery",state="scheduled"} 1.0' in lines
    assert 'overread_deliveries{destination="pacs",state="waiting"} 2.0' in lines
    assert 'overread_quarantined_objects{reason="conflict"} 1.0' in lines
    assert "overread_studies_received_total 1.0" in lines
    assert "overread_instances_received_total 2.0" in lines
    assert "P1" not in "\n".join(lines)


def test_readers_do_not_see_what_a_shadow_found(web_door: WebDoor, hospital: Hospital) -> None:
    """A reader's pages say nothing of a version that is being tried out; an operator's mark it as a shadow."""
    hospital.algorithms.add(hospital.registered("lungs-next", "2"), "tester")
    hospital.algorithms.shadow("lungs-next", "2", "tester")
    arrivals = hospital.stable_study("1.2.3")
    hospital.queue.complete_analysed(hospital.claimed(), hospital.result(arrivals), ["pacs"])

    for page in ("/studies/1.2.3", "/jobs"):
        assert "lungs-next" not in web_door.logged_in("viewer").get(page).text
    operator = web_door.logged_in("operator")
    study = operator.get("/studies/1.2.3").text
    assert "In shadow or for a cohort, told to nobody: lungs-next 2 analysed 2 instances" in study
    assert re.search(r"lungs-next 2 <span class=.state odd.>shadow</span>", operator.get("/jobs").text)
    assert re.search(r"<span class=.state odd.>shadow</span>", operator.get("/algorithms").text)


def test_an_algorithms_page_tells_its_history(web_door: WebDoor, hospital: Hospital) -> None:
    """Every decision with who took it, the numbers of its acceptance set, and what its jobs came to."""
    algorithm = hospital.registered("lungs", "1")
    hospital.algorithms.add(algorithm, "tester", "largest difference 1e-07")
    numbers = {"cases": 2, "passed": 1, "numbers": "one: Lung Dice 0.4000, at least 0.9"}
    hospital.algorithms.record_acceptance(algorithm, "tester", AuditOutcome.MINOR_FAILURE, dict(numbers))
    hospital.algorithms.promote("lungs", "1", "anna", {"acceptance_skipped_because": "A <better> set comes."})
    arrivals = hospital.stable_study("1.2.3")
    hospital.queue.complete_analysed(hospital.claimed(), hospital.result(arrivals), [])

    page = web_door.logged_in("operator").get("/algorithms/lungs/1").text

    assert "1 analysed, 0 not analysed, 0 failed, 0 waiting or running" in page
    assert "golden pair: largest difference 1e-07" in page
    assert "fell short, 1 of 2 cases (one: Lung Dice 0.4000, at least 0.9)" in page
    for event in hospital.algorithms.history("lungs", "1"):
        assert f'<td data-label="What">{what_happened(event)}' in page
        assert f'<td data-label="Details">{escape(more_of(event))}</td>' in page
    assert "acceptance set skipped, because: A &lt;better&gt; set comes." in page


@pytest.fixture
def door_with_pacs(database_url: str, tmp_path: Path) -> Iterator[WebDoor]:
    """A door of a site whose destination pacs is to commit to what it gets."""
    pacs = DestinationSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=104, proof="commitment")
    with opened(database_url, tmp_path, (pacs,)) as door:
        yield door


def test_what_is_not_proven_to_be_there_stands_on_the_pages(door_with_pacs: WebDoor, hospital: Hospital) -> None:
    """Acknowledged, lost, sent again and given up: study page, overview and figures say how far each object is."""
    hospital.install()
    result = hospital.analysed("1.2.3", ("pacs",))
    first, second = (one.sop_instance_uid for one in result.evidence)
    wish = ProofWish(ProofWay.COMMITMENT, 0)
    sent = [SendOutcome(uid, Verdict.DELIVERED, 0, "", proof=wish) for uid in (first, second)]
    hospital.queue.complete_delivery(hospital.claimed(JobKind.DELIVERY), sent)
    proofs, policy = PostgresProofs(hospital.database), ProofPolicy(ProofWay.COMMITMENT, 0, 600, 24)
    browser = door_with_pacs.logged_in("operator")
    program = door_with_pacs.browser()
    program.auth = ("operator", "a long enough password")

    assert re.search(r'data-label="Unproven" class="number">2<', browser.get("/").text)
    question = proofs.claim("pacs", policy, "PACS", [])
    assert question is not None
    proofs.settle(question, policy, [failure_answer(first, 0x0112), ObjectAnswer(second, Word.HELD)])
    page = browser.get("/studies/1.2.3").text
    assert ">committed</span> pacs" in page
    assert ">lost</span> pacs" in page
    assert "The destination says that it has no such object (0x0112)." in page
    lines = program.get("/metrics").text.splitlines()
    assert 'overread_unproven_objects{destination="pacs"} 1.0' in lines
    assert "overread_objects_lost_total 1.0" in lines

    job = hospital.claimed(JobKind.DELIVERY)
    hospital.queue.complete_delivery(job, [SendOutcome(first, Verdict.DELIVERED, 0, "", proof=wish)])
    question = proofs.claim("pacs", policy, "PACS", [])
    assert question is not None
    proofs.settle(question, policy, [failure_answer(first, 0x0119)])

    assert "1 object not proven to be at pacs" in browser.get("/").text
    assert "Under this UID the destination has an object of another SOP Class" in browser.get("/").text
    [trouble] = open_trouble(hospital.overview.status())
    assert (trouble.what, trouble.count) == ("object not proven to be at pacs", 1)


def test_what_a_receiver_did_not_take_stands_on_the_overview(web_door: WebDoor, hospital: Hospital) -> None:
    """How many messages to whom, and why; nothing while all is well."""
    rows, policy = PostgresNotifications(hospital.database), ReceiverPolicy("ris", held=False)
    rows.begin(["ris"])
    hospital.install()
    hospital.analysed("1.2.3", ())
    rows.note(policy)
    browser = web_door.logged_in("operator")
    assert "to ris" not in browser.get("/").text

    request = rows.claim(policy)
    assert request is not None
    rows.settle(request, policy, Answer(NotificationEvent.REFUSE, "http-410", "It wants <none>."))

    page = browser.get("/").text
    assert "1 message to ris" in page
    assert "It wants &lt;none&gt;." in page
    program = web_door.browser()
    program.auth = ("operator", "a long enough password")
    assert 'overread_notifications{receiver="ris",state="refused"} 1.0' in program.get("/metrics").text.splitlines()


def test_a_result_of_an_older_revision_says_what_superseded_it(web_door: WebDoor, hospital: Hospital) -> None:
    """Also when it was stored last: the newer revision is read first, the older is folded and names it."""
    hospital.install()
    first = hospital.stable_study()
    late = hospital.arrival("1.2.3")
    hospital.receive(late)
    hospital.settle()
    older, newer = hospital.claimed(), hospital.claimed()
    hospital.queue.complete_analysed(newer, replace(hospital.result([*first, late], "2"), report_text="New."), ())
    hospital.queue.complete_analysed(older, hospital.result(first), ())

    page = web_door.logged_in("viewer").get("/studies/1.2.3").text

    before, folded = page.split('<details id="older-runs"')
    assert "New." in before
    assert "superseded" not in before
    assert f"This result is superseded by the result of job {newer.job_id} on revision 2." in folded
