"""Fetching from real archives: Orthanc over DIMSE and DICOMweb, dcmqrscp; what comes is kept, and is context."""

import subprocess
from datetime import date

import pytest

from listener.scu.query.archive import ArchiveFailed
from listener.scu.query.fetching import lacking_of
from listener.scu.query.prior_lane import PatientOfStudy, PriorLane
from overread.fetching import Desk
from storage.domain.explanation import sentences
from storage.domain.fetch import FETCHED_AS_CONTEXT, FetchOutcome, FetchPurpose
from storage.domain.prior_request import PriorsRule
from storage.domain.route import Route, Routes
from storage.housekeeping.settle_studies import settle_studies
from storage.postgres.fetch_rows import patient_of
from storage.postgres.overview import Overview
from storage.postgres.prior_rows import PostgresPriorRequests
from tests.integration.listener.conftest import Site
from tests.peers.dcmtk_servers import StartDcmqrscp

_GIVEN = "SELECT coalesce(sum(stored_count), 0) FROM association WHERE ending = 'released'"
_WAYS = ("c-get", "wado-rs", "c-move")


def test_each_way_brings_a_study_whole_as_context_and_again_nothing(site: Site) -> None:
    """By C-MOVE, C-GET and WADO-RS all comes, is settled without a job, and a second fetch asks for nothing."""
    for way in _WAYS:
        study = site.upload(series=2)
        desk = site.desk(site.archive(way))

        first = desk.fetcher.fetch(study, FetchPurpose.CONTEXT)
        again = desk.fetcher.fetch(study, FetchPurpose.CONTEXT)

        assert (first.outcome, first.listed, first.held, first.new) == (FetchOutcome.COMPLETE, 6, 6, 6), way
        assert (again.outcome, again.held, again.new) == (FetchOutcome.COMPLETE, 6, 0), way
    site.imported()
    settle_studies(site.database, 0)
    assert site.rows("SELECT count(*) FROM instance")[0][0] == 18
    assert set(site.rows("SELECT reason_code FROM study_revision")) == {(FETCHED_AS_CONTEXT.code,)}
    assert site.rows("SELECT count(*) FROM quarantined_object") == [(0,)]
    asked = site.rows("SELECT actor, action, outcome FROM audit_event WHERE action LIKE 'study-fetch%'")
    assert set(asked) == {("anna", "study-fetch-began", "success"), ("anna", "study-fetched", "success")}


def test_what_lacks_alone_is_asked_for(site: Site) -> None:
    """Of two series one is here and half of the other: the rest comes, by each way."""
    for way in _WAYS:
        study = site.upload(count=4, series=2)
        desk = site.desk(site.archive(way))
        listed = desk.archive.list_instances(study)
        later = {one.sop_instance_uid for one in listed[6:]}
        assert desk.archive.retrieve(study, lacking_of(listed, later), whole=False) is None

        site.imported()
        [(before,)] = site.rows(_GIVEN)

        end = desk.fetcher.fetch(study, FetchPurpose.CONTEXT)

        assert (end.outcome, end.held, end.new) == (FetchOutcome.COMPLETE, 8, 2), way
        site.imported()
        if way != "c-move":  # the last, whose association ends when the archive likes
            assert site.rows(_GIVEN) == [(before + 2,)], way


def test_an_archive_that_cannot_or_will_not_says_so(site: Site) -> None:
    """An unknown move destination, an unknown study, and nobody at the port: each has its code and is written down."""
    study = site.upload()
    unknown = site.desk(site.archive("c-move", received_as="NOBODY"))
    absent = site.desk(site.archive("c-get"))
    away = site.desk(site.archive("c-get", port=1))

    moved = unknown.fetcher.fetch(study, FetchPurpose.CONTEXT)
    lacks = absent.fetcher.fetch("1.2.3.4.5", FetchPurpose.CONTEXT)
    with pytest.raises(ArchiveFailed) as unreached:
        away.fetcher.fetch(study, FetchPurpose.CONTEXT)

    assert moved.reason is not None
    assert moved.reason.code == "archive-failed"  # Orthanc answers 0xC000 where the Standard has 0xA801
    assert lacks.reason is not None
    assert lacks.reason.code == "archive-lacks-study"
    assert unreached.value.reason.code == "archive-unreached"
    assert site.rows("SELECT count(*) FROM study_fetch WHERE outcome = 'failed'") == [(3,)]


def test_dcmqrscp_gives_by_c_get_and_knows_no_stranger(site: Site, start_dcmqrscp: StartDcmqrscp) -> None:
    """What DCMTK's archive holds comes by C-GET; as the destination of a C-MOVE it does not know us (0xA801)."""
    study, port = site.upload(), start_dcmqrscp()
    files = [str(path) for path in (site.folder / study).iterdir()]
    subprocess.run(["storescu", "-aec", "ARCHIVE", "127.0.0.1", str(port), *files], check=True)
    there = {"ae_title": "ARCHIVE", "port": port}

    with pytest.raises(ArchiveFailed) as moved:
        site.desk(site.archive("c-move", **there)).fetcher.fetch(study, FetchPurpose.ANALYSIS)
    end = site.desk(site.archive("c-get", **there)).fetcher.fetch(study, FetchPurpose.ANALYSIS)

    assert moved.value.reason.code == "move-destination-unknown"
    assert (end.outcome, end.new) == (FetchOutcome.COMPLETE, 3)


@pytest.mark.parametrize("way", ["c-get", "wado-rs"])
def test_an_instance_that_was_given_without_being_listed_is_context_too(
    site: Site, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that lists two of three instances and gives all of them starts no analysis of a prior."""
    study = site.upload()
    desk = site.desk(site.archive(way))
    listed = desk.archive.list_instances(study)
    monkeypatch.setattr(desk.archive, "list_instances", lambda _: listed[:2])

    desk.fetcher.fetch(study, FetchPurpose.CONTEXT)

    site.imported()
    settle_studies(site.database, 0)
    assert site.rows("SELECT count(*) FROM instance") == [(3,)]
    assert site.rows("SELECT reason_code FROM study_revision") == [(FETCHED_AS_CONTEXT.code,)]


def test_a_route_has_priors_fetched_once_its_study_is_complete(site: Site) -> None:
    """Of the patient's studies the one before comes, as context; a newer one, another of that day and another's do not.

    While the archive is away it is asked again later; `explain` tells both.
    """
    today = site.upload(PatientID="P7", StudyDate="20240601")
    before = site.upload(PatientID="P7", StudyDate="20230601")
    for patient, day in (("P7", "20250101"), ("P7", "20240601"), ("P77", "20230701")):
        site.upload(PatientID=patient, StudyDate=day)
    desk = site.desk(site.archive("c-get"))
    desk.fetcher.fetch(today, FetchPurpose.ANALYSIS)
    site.imported()
    rule = PriorsRule("pacs", "MR", most=2, within_days=730)
    settle_studies(site.database, 0, Routes([Route("OVERREAD", priors=rule)]))
    requests = PostgresPriorRequests(site.database)

    away = site.desk(site.archive("c-get", port=1))
    assert _lane(site, away).fetch_once()
    [(state, note)] = site.rows("SELECT state, note FROM prior_request")
    assert state == "waiting"
    assert "could not be reached" in note
    assert requests.take("pacs", 1) is None
    site.execute("UPDATE prior_request SET due_at = now()")
    assert _lane(site, desk).fetch_once()
    assert not _lane(site, desk).fetch_once()

    site.imported()
    settle_studies(site.database, 0)
    assert set(site.rows("SELECT study_instance_uid FROM study")) == {(today,), (before,)}
    told = "\n".join(sentences(Overview(site.database).explain(today)))
    assert "Its route asks for priors of MR; pacs was asked: 1 of its patient's earlier studies are here." in told
    assert "anna had it fetched from pacs (c-get) to be analysed at" in told
    reasons = dict(
        site.rows("SELECT study_instance_uid, reason_code FROM study_revision JOIN study ON study.id = study_id")
    )
    assert reasons[before] == FETCHED_AS_CONTEXT.code
    assert reasons[today] != FETCHED_AS_CONTEXT.code


def _lane(site: Site, desk: Desk) -> PriorLane:
    def known(uid: str) -> PatientOfStudy | None:
        found = patient_of(site.database, uid)
        return PatientOfStudy(found.patient_id, found.issuer_of_patient_id, found.study_date) if found else None

    requests = PostgresPriorRequests(site.database)
    return PriorLane("pacs", desk.archive, desk.fetcher, requests, known, desk.require_room, date.today)
