"""A cohort from a real archive to a table: killed in the middle, gone on with, and nothing twice."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydicom import dcmread

from overread.cohorts.run import CohortRun, Counts
from overread.cohorts.table import IDENTIFYING, Pseudonyms, measurement_columns, write_table
from overread.fetching import Desk
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.coded_concept import CodedConcept
from storage.domain.cohort import Cohort, CohortPlan, MemberState
from storage.domain.fetch import FetchPurpose
from storage.domain.finding import Finding, Measurement
from storage.domain.job import ClaimedJob, JobKind, JobState, Priority, Reason
from storage.domain.result import NewResult
from storage.errors import CohortBusy, InvalidTransition
from storage.housekeeping.settle_studies import settle_studies
from storage.objects.object_store import ObjectStore
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.cohort_rows import PostgresCohorts
from storage.postgres.cohort_studies import Standing, standing_of
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.study_settlement import PostgresStudySettlement
from storage.settings import JobSettings
from tests.integration.listener.conftest import Site
from tests.peers.monitored_results import one_result

_LIVER = CodedConcept("10200004", "SCT", "Liver")
_VOLUME = Measurement(CodedConcept("118565006", "SCT", "Volume"), 12.5, CodedConcept("cm3", "UCUM", "cubic centimeter"))
_GAP = Reason("gap", "Slices lack.")
_PATIENT = "HIDDEN-ID-77"


class _Killed(BaseException):
    """The process ends here."""


@dataclass
class _Work:
    """A worker that does what waits whenever the run tells how far it is, and may kill it then."""

    site: Site
    answer: Callable[[PostgresJobQueue, ClaimedJob], None]
    kill_after: int = 10**6
    most_under_way: int = 0

    def __post_init__(self) -> None:
        self.queue = PostgresJobQueue(
            self.site.database, ObjectStore(self.site.door.folder), JobSettings(max_attempts=1)
        )

    def report(self, counts: Counts) -> None:
        """Called once each time the run goes round."""
        under_way = counts[MemberState.FETCHING] + counts[MemberState.ANALYSING]
        self.most_under_way = max(self.most_under_way, under_way)
        if counts[MemberState.ANALYSED] >= self.kill_after:
            raise _Killed
        if under_way and (job := self.queue.claim(JobKind.INFERENCE, "worker")) is not None:
            self.answer(self.queue, job)


class _NoWorker(_Work):
    """Nobody does what waits, and the run ends with the first job."""

    def report(self, counts: Counts) -> None:
        """As above."""
        if counts[MemberState.ANALYSING] == 1:
            raise _Killed


def _found(queue: PostgresJobQueue, job: ClaimedJob, findings: tuple[Finding, ...] | None = None) -> None:
    seen = (Finding(_LIVER, None, "Liver 1", "1.2.3.9", (_VOLUME,)),) if findings is None else findings
    statistics = one_result(np.random.default_rng(1))
    result = NewResult("1.2.9", (), "b" * 64, "CPU", seen, "text", (), statistics=statistics)
    queue.complete_analysed(job, result, ["pacs"])


def _install(site: Site) -> None:
    one = RegisteredAlgorithm("lungs", "1", AlgorithmStage.ACTIVE, Path("algorithms/lungs"), "a" * 64, "b" * 64)
    PostgresAlgorithmCatalog(site.database).add(one, "tester")


def _run(site: Site, cohorts: PostgresCohorts, cohort: Cohort, desk: Desk | None, work: _Work) -> Counts:
    settlement = PostgresStudySettlement(site.database)

    def standing(uid: str, listed: Collection[str]) -> Standing:
        site.imported()
        return standing_of(site.database, uid, listed)

    make_stable = partial(settlement.settle_now, sop_instance_uids=[], actor="anna")
    with cohorts.running(cohort):
        return CohortRun(cohorts, cohort, "anna", desk, standing, make_stable, work.report, in_flight=2).run()


def test_a_cohort_that_is_killed_goes_on_and_does_nothing_twice(site: Site) -> None:
    """Of three studies one has its result when the run dies; the next run fetches and analyses the others alone.

    All are analysed by jobs of low priority whose results go nowhere, and never more than two are under way.
    """
    _install(site)
    uids = [site.upload(PatientID=_PATIENT, StudyDate="20200301") for _ in range(3)]
    cohorts = PostgresCohorts(site.database)
    cohort = cohorts.define(CohortPlan("past", "lungs", "1", "pacs", "Modality=MR"), "anna")
    cohorts.list_members(cohort, uids)
    desk = site.desk(site.archive("c-get"))

    with pytest.raises(_Killed):
        _run(site, cohorts, cohort, desk, _Work(site, _found, kill_after=1))
    work = _Work(site, _found)
    counts = _run(site, cohorts, cohort, desk, work)

    assert counts[MemberState.ANALYSED] == 3
    assert work.most_under_way <= 2
    assert site.rows("SELECT DISTINCT priority, shadow FROM job") == [(str(Priority.LOW), True)]
    assert site.rows("SELECT count(*), count(DISTINCT study_id) FROM job") == [(3, 3)]
    assert site.rows("SELECT count(*) FROM study_fetch") == [(3,)]
    assert site.rows("SELECT count(*) FROM delivery") == [(0,)]
    assert site.rows("SELECT count(*) FROM result_statistics") == [(0,)]


def test_one_study_that_cannot_be_had_or_analysed_is_a_row_with_a_reason(site: Site, tmp_path: Path) -> None:
    """An unknown study, one that is refused, one without a finding and one whose job fails end with code or result.

    The table has a row for each of them, and nothing that leads to a patient unless that is asked for.
    """
    _install(site)
    uids = [site.upload(PatientID=_PATIENT, StudyDate="20200301") for _ in range(4)]
    answers: dict[str, Callable[[PostgresJobQueue, ClaimedJob], None]] = {
        uids[0]: _found,
        uids[1]: lambda queue, job: _found(queue, job, ()),
        uids[2]: lambda queue, job: queue.complete_not_analysed(job, _GAP, []),
        uids[3]: lambda queue, job: queue.fail(job, Reason("out-of-memory", "Too large.")),
    }
    cohorts = PostgresCohorts(site.database)
    cohort = cohorts.define(CohortPlan("past", "lungs", "1", "pacs", "Modality=MR"), "anna")
    cohorts.list_members(cohort, [*uids, "1.2.3.4.5.6"])
    work = _Work(site, lambda queue, job: answers[job.study_instance_uid](queue, job))

    counts = _run(site, cohorts, cohort, site.desk(site.archive("wado-rs")), work)

    assert {state: count for state, count in counts.items() if count} == {
        MemberState.ANALYSED: 2,
        MemberState.NOT_ANALYSED: 1,
        MemberState.FAILED: 2,
    }
    out, whole = tmp_path / "past.parquet", tmp_path / "whole.parquet"
    pseudonyms = Pseudonyms(b"secret", "past")
    names = measurement_columns(cohorts.findings(cohort))
    write_table(out, cohort, cohorts.findings(cohort), pseudonyms, names, identified=False)
    write_table(whole, cohort, cohorts.findings(cohort), pseudonyms, names, identified=True)
    table = pq.read_table(out).to_pylist()
    told = sorted((row["state"], row["code"], row["findings"], row["Volume (cm3)"]) for row in table if row["code"])
    assert told == [
        ("failed", "archive-lacks-study", None, None),
        ("failed", "out-of-memory", None, None),
        ("not-analysed", "gap", None, None),
    ]
    assert sorted((row["findings"], row["Volume (cm3)"] or 0) for row in table if not row["code"]) == [
        (0, 0),
        (1, 12.5),
    ]
    assert {row["model_sha256"] for row in table} == {"b" * 64}
    assert len({row["patient"] for row in table if row["patient"]}) == 1
    hidden = out.read_bytes()
    for word in (*uids, "1.2.3.4.5.6", _PATIENT, "2020-03-01", "20200301"):
        assert word.encode() not in hidden
    assert not IDENTIFYING.keys() & table[0].keys()
    assert {row["study_instance_uid"] for row in pq.read_table(whole).to_pylist()} == {*uids, "1.2.3.4.5.6"}
    assert pq.read_schema(out).metadata[b"overread.version"] == b"1"


def test_a_result_that_is_there_is_taken_and_a_second_runner_is_refused(site: Site) -> None:
    """What an earlier cohort found counts for the next one of the same version; two runs of one cohort never meet."""
    _install(site)
    uid = site.upload()
    cohorts = PostgresCohorts(site.database)
    first, second = (
        cohorts.define(CohortPlan(name, "lungs", "1", "pacs", "Modality=MR"), "anna") for name in ("one", "two")
    )
    desk = site.desk(site.archive("c-get"))
    for cohort in (first, second):
        cohorts.list_members(cohort, [uid])
        assert _run(site, cohorts, cohort, desk, _Work(site, _found))[MemberState.ANALYSED] == 1

    assert site.rows("SELECT count(*) FROM job") == [(1,)]
    with cohorts.running(first), pytest.raises(CohortBusy), cohorts.running(first):
        pass
    with pytest.raises(InvalidTransition):
        cohorts.define(CohortPlan("one", "lungs", "1", "pacs", "Modality=CT"), "anna")


@pytest.mark.parametrize("deliver", [False, True])
def test_a_canceled_cohort_gives_up_what_waits_and_its_own_jobs(site: Site, deliver: bool) -> None:
    """The job that only the cohort waits for ends canceled, delivered or not, and each study has the reason."""
    _install(site)
    uids = [site.upload() for _ in range(3)]
    cohorts = PostgresCohorts(site.database)
    cohort = cohorts.define(CohortPlan("past", "lungs", "1", "pacs", "Modality=MR", deliver), "anna")
    cohorts.list_members(cohort, uids)

    with pytest.raises(_Killed):
        _run(site, cohorts, cohort, site.desk(site.archive("c-get")), _NoWorker(site, _found))

    assert cohorts.cancel(cohort, "anna") == 3
    assert cohorts.counts(cohort)[MemberState.CANCELED] == 3
    assert site.rows("SELECT state FROM job") == [(str(JobState.CANCELED),)]


def test_a_study_whose_images_belong_to_another_one_here_holds_up_no_cohort(site: Site) -> None:
    """The archive moved images into another study after they came: that one ends with a reason, the others go on."""
    _install(site)
    first, last = site.upload(), site.upload()
    desk = site.desk(site.archive("c-get"))
    desk.fetcher.fetch(first, FetchPurpose.CONTEXT)
    moved = f"{first}.1"
    for path in (site.folder / first).iterdir():
        image = dcmread(path)
        image.StudyInstanceUID = moved
        image.save_as(path)
        site.orthanc.upload(path)
    cohorts = PostgresCohorts(site.database)
    cohort = cohorts.define(CohortPlan("past", "lungs", "1", "pacs", "Modality=MR"), "anna")
    cohorts.list_members(cohort, [moved, last])

    counts = _run(site, cohorts, cohort, desk, _Work(site, _found))

    assert (counts[MemberState.FAILED], counts[MemberState.ANALYSED]) == (1, 1)
    assert [reason["reason_code"] for reason in cohorts.reasons(cohort)] == ["archive-gave-less"]


def test_what_is_tried_again_is_the_cohort_s_own_and_of_low_priority(site: Site) -> None:
    """A job of today that failed is done again for the cohort: behind all others, and gone when that is canceled."""
    _install(site)
    study = site.upload()
    desk = site.desk(site.archive("c-get"))
    desk.fetcher.fetch(study, FetchPurpose.ANALYSIS)
    site.imported()
    settle_studies(site.database, 0)
    work = _Work(site, lambda queue, job: queue.fail(job, Reason("out-of-memory", "Too large.")))
    work.report(dict.fromkeys(MemberState, 1) | {MemberState.ANALYSED: 0})
    cohorts = PostgresCohorts(site.database)
    cohort = cohorts.define(CohortPlan("past", "lungs", "1", "pacs", "Modality=MR", deliver=True), "anna")
    cohorts.list_members(cohort, [study])

    with pytest.raises(_Killed):
        _run(site, cohorts, cohort, desk, _NoWorker(site, _found))

    jobs = "SELECT state, priority, source FROM job ORDER BY id DESC"
    assert site.rows(jobs)[0] == (str(JobState.SCHEDULED), str(Priority.LOW), "cohort past")
    cohorts.cancel(cohort, "anna")
    assert site.rows(jobs)[0][0] == str(JobState.CANCELED)


def test_a_shadow_of_today_is_monitored_also_where_a_cohort_takes_its_result(site: Site) -> None:
    """What is left out of monitoring is what was made for a cohort, not what one found waiting."""
    _install(site)
    PostgresAlgorithmCatalog(site.database).shadow("lungs", "1", "tester")
    study, desk = site.upload(), site.desk(site.archive("c-get"))
    desk.fetcher.fetch(study, FetchPurpose.ANALYSIS)
    site.imported()
    settle_studies(site.database, 0)
    cohorts = PostgresCohorts(site.database)
    cohort = cohorts.define(CohortPlan("past", "lungs", "1", "pacs", "Modality=MR"), "anna")
    cohorts.list_members(cohort, [study])

    assert _run(site, cohorts, cohort, desk, _Work(site, _found))[MemberState.ANALYSED] == 1

    assert site.rows("SELECT count(*) FROM job") == [(1,)]
    assert site.rows("SELECT count(*) FROM result_statistics") == [(1,)]
