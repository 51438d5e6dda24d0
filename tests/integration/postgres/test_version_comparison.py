"""A shadow beside the active version: real jobs, real rows, and what the command says of them."""

from dataclasses import replace
from typing import Any

import pytest

from storage.domain.agreement import Limits
from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import Classification, Finding
from storage.domain.job import Reason
from storage.domain.job_statistics import Acquisition, JobStatistics, Stage
from storage.errors import SameVersion, UnknownRecord
from storage.postgres.version_comparison import compare_versions

MASS = CodedConcept("4147007", "SCT", "Mass")


def _result(hospital: Any, arrivals: Any, probability: float, volume: float, scanner: str, seconds: float) -> Any:
    seen = Classification(
        "mass", probability, 0.5, "chosen", probability >= 0.5, arrivals[0].header.sop_instance_uid, 1, 1
    )
    return replace(
        hospital.result(arrivals),
        findings=(Finding(MASS, None, "lungs mass", "1.2", (), seen),),
        statistics=JobStatistics(
            Acquisition("ACME", scanner, modality="CT"),
            {},
            {"probability of mass": probability, "Volume of Lung (cm3)": volume},
            {Stage.LOAD: 1.0, Stage.INFER: seconds},
        ),
    )


def _both(hospital: Any, study: str, active: tuple[float, float], shadow: tuple[float, float], scanner: str) -> None:
    """A study that both versions analyse; each with a probability and a volume."""
    arrivals = hospital.stable_study(study)
    for _ in range(2):
        job = hospital.claimed()
        said, seconds = (active, 2.0) if job.algorithm_version == "1" else (shadow, 4.0)
        hospital.queue.complete_analysed(job, _result(hospital, arrivals, *said, scanner, seconds), [])


@pytest.fixture
def shadowed(hospital: Any) -> Any:
    """Version 2 in the shadow of version 1."""
    hospital.install(version="2")
    hospital.install(version="1")
    hospital.algorithms.shadow("lungs", "2", "alice")
    return hospital


def test_two_versions_are_compared_on_what_both_have_seen(shadowed: Any) -> None:
    """Outcomes, classes, volumes, times, subgroups and the studies to look at, with the jobs of both."""
    _both(shadowed, "1.2.1", (0.9, 100.0), (0.8, 101.0), "A")
    _both(shadowed, "1.2.2", (0.9, 100.0), (0.2, 103.0), "B")
    arrivals = shadowed.stable_study("1.2.3")
    for _ in range(2):
        job = shadowed.claimed()
        if job.algorithm_version == "1":
            shadowed.queue.complete_analysed(job, _result(shadowed, arrivals, 0.1, 100.0, "A", 2.0), [])
        else:
            shadowed.queue.fail(job, Reason("gap", "Slices are missing."))

    facts = compare_versions(shadowed.database, "lungs", "1", "2", Limits(0.1))

    assert facts["studies"] == 3
    assert facts["outcomes"] == [
        {"active": "analysed", "shadow": "analysed", "studies": 2},
        {"active": "analysed", "shadow": "failed", "studies": 1},
    ]
    (mass,) = facts["classes"]
    assert [mass[key] for key in ("both", "only_active", "only_shadow", "neither")] == [1, 1, 0, 0]
    volume = next(one for one in facts["numbers"] if one["name"] == "Volume of Lung (cm3)")
    assert (volume["studies"], volume["bias"]) == (2, 2.0)
    assert facts["seconds"]["active"]["p50"] >= 3, "that of loading and inferring, and what storing took"
    assert facts["seconds"]["shadow"]["p50"] >= 5
    assert {group: of["studies"] for group, of in facts["subgroups"]["scanner"].items()} == {"ACME A": 2, "ACME B": 1}
    assert facts["subgroups"]["modality"].keys() == {"CT"}
    assert [(one["study_instance_uid"], one["reasons"]) for one in facts["disagreements"]] == [
        ("1.2.2", ("mass: present / absent",)),
        ("1.2.3", ("outcome: analysed / failed",)),
    ]
    jobs = {one["study_instance_uid"]: {one["active_job_id"], one["shadow_job_id"]} for one in facts["disagreements"]}
    assert jobs["1.2.2"] == {
        row[0]
        for row in shadowed.rows(
            "SELECT job.id FROM job JOIN study ON study.id = study_id WHERE study_instance_uid = '1.2.2'"
        )
    }


def test_overlaps_are_those_with_the_version_that_is_named(shadowed: Any) -> None:
    """Median and worst Dice of each structure, by subgroup too; below the bound the study is listed."""
    for study, dice in (("1.2.1", 0.95), ("1.2.2", 0.5), ("1.2.3", 0.97)):
        arrivals = shadowed.stable_study(study)
        for _ in range(2):
            job = shadowed.claimed()
            result = _result(shadowed, arrivals, 0.9, 100.0, "A" if dice > 0.9 else "B", 2.0)
            if job.shadow:
                result.statistics.scores.update({"Dice of Lung with 1": dice, "Dice of Lung with 0": 0.1})
            shadowed.queue.complete_analysed(job, result, [])

    facts = compare_versions(shadowed.database, "lungs", "1", "2", Limits(0.1, dice=0.9))

    assert facts["overlaps"] == [{"label": "Lung", "studies": 3, "median": 0.95, "worst": 0.5}]
    by_scanner = {group: of["overlaps"][0]["worst"] for group, of in facts["subgroups"]["scanner"].items()}
    assert by_scanner == {"ACME A": 0.95, "ACME B": 0.5}
    assert [(one["study_instance_uid"], one["reasons"]) for one in facts["disagreements"]] == [
        ("1.2.2", ("Lung: Dice 0.500",))
    ]


def test_each_revision_is_a_pair_of_its_own(shadowed: Any) -> None:
    """What one said of the first revision is not held against what the other said of the second."""
    _both(shadowed, "1.2.1", (0.9, 100.0), (0.9, 100.0), "A")
    _both(shadowed, "1.2.1", (0.1, 200.0), (0.1, 200.0), "A")

    facts = compare_versions(shadowed.database, "lungs", "1", "2", Limits(0.1))

    assert facts["studies"] == 2
    assert facts["disagreements"] == []


def test_nothing_to_compare_is_said(shadowed: Any) -> None:
    """No common study, or no such version, is a sentence."""
    with pytest.raises(UnknownRecord, match="No study has been through"):
        compare_versions(shadowed.database, "lungs", "1", "2", Limits(0.1))
    with pytest.raises(SameVersion, match="would be compared with itself"):
        compare_versions(shadowed.database, "lungs", "1", "1", Limits(0.1))
    with pytest.raises(UnknownRecord, match="Version 3"):
        compare_versions(shadowed.database, "lungs", "1", "3", Limits(0.1))
