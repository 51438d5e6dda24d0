"""Archives that answer a search over the web otherwise than they should."""

import json
from datetime import date
from typing import Any

import pytest

from listener.scu.query.archive import ArchiveFailed
from listener.scu.query.archive_settings import ArchiveSettings
from listener.scu.query.matching import UnusableQuery, query_of
from listener.scu.query.priors import PriorsWanted, priors
from listener.scu.query.web_archive import WebArchive
from listener.web.intake import Intake
from tests.peers.stow_archive import Answer, StowArchive, reply

_STUDY = "1.2.3"


def _no_intake() -> Intake:
    raise AssertionError("nothing is retrieved here")


def _archive(stow_archive: StowArchive, *answers: Answer, **keys: Any) -> WebArchive:
    stow_archive.answers[:] = answers
    return WebArchive(ArchiveSettings(name="pacs", kind="web", url=stow_archive.url, **keys), _no_intake)


def _page(*instances: str, series: str = "1.2.3.4", study: str = _STUDY) -> Answer:
    listed = [
        {
            tag: {"vr": "UI", "Value": [uid]}
            for tag, uid in (("0020000D", study), ("0020000E", series), ("00080018", one))
        }
        for one in instances
    ]
    return reply(200, json.dumps(listed).encode())


@pytest.mark.parametrize("end", [reply(204), reply(400), _page("1.1", "1.2")])
def test_pages_that_are_shorter_than_asked_for_do_not_end_a_list(stow_archive: StowArchive, end: Answer) -> None:
    """A server gives at most what suits it; the list ends where nothing new comes, or a page beyond it is refused."""
    archive = _archive(stow_archive, _page("1.1", "1.2"), _page("1.3"), end)

    assert [one.sop_instance_uid for one in archive.list_instances(_STUDY)] == ["1.1", "1.2", "1.3"]
    assert "offset=3" in stow_archive.requests[2].line


def test_an_address_without_a_search_is_no_archive_without_a_match(stow_archive: StowArchive) -> None:
    """404 for all studies is a wrong url; for those of one study it is what some archives say that lack it."""
    with pytest.raises(ArchiveFailed) as refused:
        _archive(stow_archive, reply(404)).find_studies(query_of("Modality=CT"), 10)

    assert refused.value.reason.code == "archive-lacks-service"
    assert _archive(stow_archive, reply(404)).list_instances(_STUDY) == []


@pytest.mark.parametrize("wrong", [_page("../../admin"), _page("1.2", series="*"), _page("1.2\\1.3")])
def test_a_list_with_what_is_no_uid_is_refused(stow_archive: StowArchive, wrong: Answer) -> None:
    """It would lead the next request, with our credentials, to another address, or match more than was meant."""
    with pytest.raises(ArchiveFailed) as refused:
        _archive(stow_archive, wrong).list_instances(_STUDY)

    assert refused.value.reason.code == "archive-unreadable"


def test_what_is_of_another_study_is_not_listed(stow_archive: StowArchive) -> None:
    """An archive that ignores the study in the address lists the instances of all of them."""
    archive = _archive(stow_archive, _page("1.1", study="1.2.9"), _page("1.2"))

    assert [one.sop_instance_uid for one in archive.list_instances(_STUDY)] == ["1.2"]


def test_a_study_whose_uid_is_none_is_no_match(stow_archive: StowArchive) -> None:
    """Nothing could fetch it, and it would stand in a terminal and in addresses."""
    wrong = [{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in ("1.2\x1b[2J", "../1", "1.2.3")]

    found = _archive(stow_archive, reply(200, json.dumps(wrong).encode())).find_studies(query_of("Modality=CT"), 10)

    assert [one.study_instance_uid for one in found] == ["1.2.3"]


@pytest.mark.parametrize("status", [429, 503])
def test_an_archive_that_is_busy_ends_the_run_and_not_each_study(stow_archive: StowArchive, status: int) -> None:
    """The next study would fare no better: a cohort of thousands must not fail one by one."""
    with pytest.raises(ArchiveFailed) as refused:
        _archive(stow_archive, reply(status)).list_instances(_STUDY)

    assert refused.value.over


def test_priors_are_not_chosen_among_several_patients(stow_archive: StowArchive) -> None:
    """Two hospitals gave the same ID: without an issuer nobody can tell whose studies are the priors."""
    said = [
        {
            "0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]},
            "00100020": {"vr": "LO", "Value": ["P1"]},
            "00100021": {"vr": "LO", "Value": [issuer]},
            "00080020": {"vr": "DA", "Value": ["20200101"]},
        }
        for number, issuer in enumerate(("NORTH", "SOUTH"))
    ]
    listed = reply(200, json.dumps(said).encode())
    until = date(2020, 1, 2)

    with pytest.raises(UnusableQuery):
        priors(_archive(stow_archive, listed), PriorsWanted("P1", until, 3))

    of_north = priors(_archive(stow_archive, listed), PriorsWanted("P1", until, 3, issuer_of_patient_id="NORTH"))
    assert [one.study_instance_uid for one in of_north] == ["1.2.0"]
