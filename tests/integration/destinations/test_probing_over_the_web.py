"""A probe over the web says what an archive takes and finds again, and tells what is in the way."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.destinations.conftest import Probe, Run
from tests.peers.evidence_files import SEGMENTATION
from tests.peers.orthanc import Orthanc
from tests.peers.stow_archive import StowArchive, reply

CLOUD = {"kind": "stow", "ae_title": "", "host": ""}


def sent(facts: dict[str, Any]) -> set[str | None]:
    """What it would get of each thing in daily work."""
    return {way["sent"] for way in facts["daily_work"]}


def test_orthanc_takes_and_finds_every_form_over_the_web(probe: Probe, start_orthanc: Callable[..., Orthanc]) -> None:
    """All of the profile is stored and found by a search, and what it has is told as it is."""
    web_orthanc = start_orthanc(dicomweb=True)

    status, facts = probe(0, profile="ohif", **CLOUD, url=f"http://127.0.0.1:{web_orthanc.http_port}/dicom-web")

    assert (status, facts["passed"], facts["kind"]) == (0, True, "stow")
    assert facts["association"]["accepted"]
    assert facts["query"]["answer"] == "answered"
    told = [*facts["images"], *facts["forms"]]
    assert {(one["status"], one["found"]) for one in told} == {(0, "found")}
    held = {uid for uid, _ in web_orthanc.instances_of(facts["study_instance_uid"])}
    assert held == {one["sop_instance_uid"] for one in told}


def test_what_an_archive_refuses_is_told_by_its_reason(probe: Probe, stow_archive: StowArchive) -> None:
    """Without segmentations there is no segmentation in daily work; that nothing could be searched for is said."""
    stow_archive.refused[SEGMENTATION] = 0x0122

    status, facts = probe(0, profile="any", **CLOUD, url=stow_archive.url)

    assert (status, facts["passed"]) == (1, False)
    statuses = {one["form"]: one["status"] for one in facts["forms"]}
    assert {form for form, given in statuses.items() if given == 0x0122} == {"binary", "binary-unaligned"}
    assert sent(facts) == {None, "secondary-capture", "comprehensive-3d"}
    advice = " ".join(facts["advice"])
    assert "binary: The destination does not support this SOP Class (0x0122)" in advice
    assert "was not looked for: the destination has no QIDO-RS at its url" in advice


@pytest.mark.parametrize(("status", "sentence"), [(401, "does not accept our credentials"), (404, "has no STOW-RS")])
def test_an_archive_that_lets_nothing_in_is_told_once(
    probe: Probe, stow_archive: StowArchive, status: int, sentence: str
) -> None:
    """One request, one sentence."""
    stow_archive.answers.append(reply(status))

    left, facts = probe(0, **CLOUD, url=stow_archive.url)

    assert left == 1
    assert not facts["association"]["accepted"]
    assert len(facts["advice"]) == 1
    assert sentence in facts["advice"][0]
    assert len(stow_archive.requests) == 1


def test_the_page_in_a_terminal_speaks_of_the_web(destinations: Run, stow_archive: StowArchive) -> None:
    """No presentation contexts, no C-STORE: what was stored and for which reason not."""
    done = destinations("probe", "pacs", "--wait", "0", port=0, **CLOUD, url=stow_archive.url)

    assert f"Destination pacs: {stow_archive.url}, profile any." in done.stdout
    assert "The first request was answered after" in done.stdout
    assert "STOW-RS" in done.stdout
    assert "C-STORE" not in done.stdout
    assert "What it acknowledged was not looked for: " in done.stdout
