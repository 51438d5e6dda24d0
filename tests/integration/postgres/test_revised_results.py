"""Late images: each revision has a result of its own, which knows what it follows and what supersedes it."""

from dataclasses import replace
from typing import Any

import pytest

from storage.domain.earlier_result import StoredReport, digest_of_inputs, predecessor_of
from storage.domain.explanation import sentences
from storage.domain.result import EvidenceForm
from storage.errors import UnknownRecord


def _late(hospital: Any) -> Any:
    """One more image, and the study stable again."""
    arrival = hospital.arrival()
    hospital.receive(arrival)
    assert hospital.settle() == 1
    return arrival


def _end(hospital: Any, job: Any, result: Any) -> None:
    """Complete a job as the worker does: its result follows what the queue names, as far as it looked elsewhere."""
    followed = predecessor_of(result.input_sop_instance_uids, hospital.queue.earlier_results(job))
    hospital.queue.complete_analysed(job, replace(result, predecessor_id=followed and followed.result_id), [])


def _links(hospital: Any) -> list[tuple[int, int | None, int | None]]:
    """Of each result its revision, that of its predecessor, and that of what supersedes it, in the order of storing."""
    told = hospital.overview.report("1.2.3")
    revisions = {one["result_id"]: one["revision"] for one in told}
    return [
        (
            one["revision"],
            revisions.get(one["predecessor_id"]),
            one["superseded_by"] and one["superseded_by"]["revision"],
        )
        for one in told
    ]


def test_a_second_batch_makes_a_second_result_that_follows_the_first(hospital: Any) -> None:
    """Result 1 keeps its own images only and is superseded, result 2 names it, and there is no third."""
    hospital.install()
    first = hospital.stable_study()
    _end(hospital, hospital.claimed(), hospital.result(first))
    late = _late(hospital)
    _end(hospital, hospital.claimed(), hospital.result([*first, late], "2"))

    assert hospital.settle() == 0
    assert hospital.rows("SELECT count(*) FROM job") == [(2,)]
    assert hospital.rows("SELECT count(*) FROM result_input GROUP BY result_id ORDER BY result_id") == [(2,), (3,)]
    assert _links(hospital) == [(1, None, 2), (2, 1, None)]
    story = list(sentences(hospital.overview.explain("1.2.3")))
    jobs = [one["job_id"] for one in hospital.overview.report("1.2.3")]
    assert f"It is superseded by the result of job {jobs[1]} on revision 2, which looked at other images." in story
    assert f"Its predecessor is the result of job {jobs[0]} on revision 1." in story


def test_the_predecessor_is_of_the_newest_earlier_revision(hospital: Any) -> None:
    """A third result follows the second; both earlier ones are superseded by the one that counts."""
    hospital.install()
    images = hospital.stable_study()
    _end(hospital, hospital.claimed(), hospital.result(images))
    for marker in ("2", "3"):
        images = [*images, _late(hospital)]
        _end(hospital, hospital.claimed(), hospital.result(images, marker))

    assert _links(hospital) == [(1, None, 3), (2, 1, 3), (3, 2, None)]


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_an_older_revision_that_ends_late_never_counts(hospital: Any, first_to_end: int) -> None:
    """The newer supersedes it whichever is stored first; it names none that was not there when its job was begun."""
    hospital.install()
    images = hospital.stable_study()
    everything = [*images, _late(hospital)]
    ends = [
        (hospital.claimed(), hospital.result(images)),
        (hospital.claimed(), hospital.result(everything, "2")),
    ]
    for job, result in (ends[first_to_end], ends[1 - first_to_end]):
        _end(hospital, job, result)

    assert sorted(_links(hospital)) == [(1, None, 2), (2, None, None)]
    origins = hospital.rows(
        "SELECT origin.revision, (SELECT other.revision FROM result_origin AS other "
        "WHERE other.result_id = origin.superseded_by) FROM result_origin AS origin ORDER BY 1"
    )
    assert origins == [(1, 2), (2, None)]


def test_a_second_attempt_keeps_the_choice_of_the_first(hospital: Any) -> None:
    """What was stored since the first claim does not become the predecessor, though it is there now."""
    hospital.install()
    images = hospital.stable_study()
    everything = [*images, _late(hospital)]
    older, newer = hospital.claimed(), hospital.claimed()
    _end(hospital, older, hospital.result(images))
    hospital.rows(
        "UPDATE job SET state = 'scheduled', lease_token = NULL, lease_expires_at = NULL, due_at = now() WHERE id = %s",
        newer.job_id,
    )
    again = hospital.claimed()
    _end(hospital, again, hospital.result(everything, "2"))

    assert (again.job_id, again.attempt) == (newer.job_id, 2)
    assert _links(hospital) == [(1, None, 2), (2, None, None)]


def test_the_same_images_make_the_same_result_which_follows_nothing(hospital: Any) -> None:
    """A late image that the algorithm does not look at leaves its first result standing."""
    hospital.install()
    images = hospital.stable_study()
    _end(hospital, hospital.claimed(), hospital.result(images))
    _late(hospital)
    _end(hospital, hospital.claimed(), hospital.result(images))

    assert _links(hospital) == [(1, None, None), (2, None, None)]


@pytest.mark.parametrize(("versions", "follows"), [("111", None), ("112", 2)])
def test_images_that_were_looked_at_before_make_a_result_that_was_sent_before(
    hospital: Any, versions: str, follows: int | None
) -> None:
    """A series, a better one, and the first again: the same version makes the first objects anew, another new ones."""
    hospital.install()
    images = hospital.stable_study()
    looked_at = [images, [*images, _late(hospital)], images]
    for number, (version, inputs) in enumerate(zip(versions, looked_at, strict=True)):
        if number and version != versions[number - 1]:
            hospital.rows("UPDATE algorithm SET stage = 'retired'")
            hospital.install(version=version)
        if number == 2:
            _late(hospital)
        _end(hospital, hospital.claimed(), hospital.result(inputs, f"{version}.{len(inputs)}"))

    assert _links(hospital)[2][:2] == (3, follows)


def test_a_result_follows_none_of_another_algorithm(hospital: Any) -> None:
    """Each algorithm has a line of results of its own."""
    hospital.install("lungs")
    images = hospital.stable_study()
    _end(hospital, hospital.claimed(), hospital.result(images))
    hospital.rows("UPDATE algorithm SET stage = 'retired'")
    hospital.install("heart")
    everything = [*images, _late(hospital)]
    _end(hospital, hospital.claimed(), hospital.result(everything, "2"))

    assert _links(hospital) == [(1, None, None), (2, None, None)]


def test_what_may_be_followed_names_its_reports_and_its_inputs(hospital: Any) -> None:
    """The newest, and the newest that looked at other images: their reports, and a digest that Python makes alike."""
    hospital.install()
    images = hospital.stable_study()
    _end(hospital, hospital.claimed(), hospital.result(images))
    more = [*images, _late(hospital)]
    for marker in ("2", "3"):
        _end(hospital, hospital.claimed(), hospital.result(more, marker))
        _late(hospital)
    job = hospital.claimed()

    newest, other = hospital.queue.earlier_results(job)

    assert [(one.revision, one.inputs) for one in (newest, other)] == [(3, 3), (1, 2)]
    for one, looked_at in ((newest, more), (other, images)):
        assert one.inputs_sha256 == digest_of_inputs(arrival.header.sop_instance_uid for arrival in looked_at)
    assert newest.started_at.tzinfo is not None
    report = StoredReport(EvidenceForm.COMPREHENSIVE_3D, "1.2.840.10008.5.1.4.1.1.66.4", "1.2.3.7.1", "1.2.3.7")
    assert newest.reports == other.reports == (report,)


def test_a_result_that_claims_to_follow_a_later_one_is_refused(hospital: Any) -> None:
    """Whatever chose it, only a result of an earlier revision of the same study is written down as predecessor."""
    hospital.install()
    images = hospital.stable_study()
    everything = [*images, _late(hospital)]
    older, newer = hospital.claimed(), hospital.claimed()
    _end(hospital, newer, hospital.result(everything, "2"))
    ((later,),) = hospital.rows("SELECT id FROM result")

    with pytest.raises(UnknownRecord, match="of no earlier revision"):
        hospital.queue.complete_analysed(older, replace(hospital.result(images), predecessor_id=later), [])
    assert hospital.rows("SELECT count(*) FROM result") == [(1,)]
