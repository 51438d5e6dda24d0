"""An operator has a study analysed after all."""

from typing import Any

import pytest

from storage.errors import InvalidTransition, UnknownRecord


def test_a_study_without_an_algorithm_is_analysed_once_one_is_there(hospital: Any) -> None:
    """Submitting schedules the algorithm added since, and the study no longer reads not-analysed."""
    hospital.stable_study()
    hospital.install()

    (job_id,) = hospital.queue.submit("1.2.3", "operator")

    (study,) = hospital.overview.status()["studies"]
    (job,) = hospital.overview.status()["jobs"]
    assert (study["state"], study["error"]) == ("queued", None)
    assert (job["id"], job["state"], job["revision"]) == (job_id, "scheduled", 1)
    assert hospital.claimed().job_id == job_id
    assert hospital.overview.no_silent_state() == []


def test_submitting_twice_schedules_nothing_twice(hospital: Any) -> None:
    """An algorithm that has a job on the revision gets no second one; the refusal names the command that redoes it."""
    hospital.install()
    hospital.stable_study()

    with pytest.raises(InvalidTransition, match="overread jobs resubmit"):
        hospital.queue.submit("1.2.3", "operator")


def test_a_study_that_is_unknown_parked_or_incomplete_is_not_submitted(hospital: Any) -> None:
    """Each refusal is a sentence of its own and changes nothing."""
    hospital.install()
    hospital.receive(hospital.arrival("1.2.4"))
    hospital.receive(hospital.arrival("1.2.5"), hospital.arrival("1.2.5", patient_id="P2"))

    with pytest.raises(UnknownRecord, match="overread status"):
        hospital.queue.submit("1.2.9", "operator")
    with pytest.raises(InvalidTransition, match="still being received"):
        hospital.queue.submit("1.2.4", "operator")
    with pytest.raises(InvalidTransition, match="parked"):
        hospital.queue.submit("1.2.5", "operator")
    assert hospital.overview.status()["jobs"] == []
