"""A study is analysed and delivered as the name says under which it came."""

from typing import Any

from storage.domain.job import JobKind
from storage.domain.route import Route, Routes
from storage.housekeeping.settle_studies import settle_studies
from storage.postgres.job_queue import PostgresJobQueue

ROUTES = Routes([Route("LUNG", frozenset({"lungs"}), frozenset({"pacs"}))])


def test_the_called_title_chooses_algorithms_and_destinations(hospital: Any) -> None:
    """What came under a route gets its algorithm and its destination; what came under our own title gets all."""
    hospital.install("lungs")
    hospital.install("liver")
    routed = hospital.arrival("1.2.3", hospital.association(called_ae_title="LUNG"))
    other = hospital.arrival("1.2.4")
    hospital.receive(routed, other)

    assert settle_studies(hospital.database, 0, ROUTES) == 2

    assert hospital.rows(
        "SELECT study_instance_uid, name FROM job JOIN algorithm ON algorithm.id = algorithm_id "
        "JOIN study ON study.id = study_id ORDER BY 1, 2"
    ) == [("1.2.3", "lungs"), ("1.2.4", "liver"), ("1.2.4", "lungs")]

    queue = PostgresJobQueue(hospital.database, hospital.objects, hospital.settings, ROUTES)
    for _ in range(2):
        job = queue.claim(JobKind.INFERENCE, "worker")
        assert job is not None
        arrivals = [routed] if job.study_instance_uid == "1.2.3" else [other]
        queue.complete_analysed(job, hospital.result(arrivals, str(job.job_id)), ["pacs", "research"])
    queue.close()
    assert set(
        hospital.rows(
            "SELECT study_instance_uid, destination FROM job JOIN study ON study.id = study_id WHERE kind = 'delivery'"
        )
    ) == {("1.2.3", "pacs"), ("1.2.4", "pacs"), ("1.2.4", "research")}


def test_a_study_whose_route_has_no_active_algorithm_says_why_not(hospital: Any) -> None:
    """Silence is no answer: the study is not analysed, with the reason."""
    hospital.install("liver")
    hospital.receive(hospital.arrival("1.2.3", hospital.association(called_ae_title="LUNG")))

    assert settle_studies(hospital.database, 0, ROUTES) == 1

    [study] = hospital.overview.status()["studies"]
    assert (study["state"], study["reason_code"]) == ("not-analysed", "no-algorithm")
