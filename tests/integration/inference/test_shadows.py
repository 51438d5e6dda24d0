"""A real analysis in shadow: the findings are there, and nothing that anybody could open."""

from pathlib import Path

import numpy as np
import pytest

from inference.monitoring.overlap import overlaps
from inference.pipeline import analyse
from storage.domain.job import ClaimedJob
from storage.domain.result import ActiveOutline
from tests.integration.inference.conftest import Site
from tests.peers.synthetic_series import slice_headers, with_pixels
from tests.peers.tiny_algorithm import bright_network, write_tiny_algorithm
from tests.peers.tiny_classifier import write_tiny_classifier


@pytest.mark.parametrize("write", [write_tiny_algorithm, write_tiny_classifier], ids=["segmentation", "classification"])
def test_a_worker_keeps_the_findings_of_a_shadow_alone(site: Site, write: object) -> None:
    """With no form of evidence asked for, as the worker does for a shadow, each task still gives its findings."""
    assert callable(write)
    folder: Path = write(site.folder / "tiny")
    site.install(folder)
    known = site.algorithms.all()[0]
    site.algorithms.shadow(known.name, known.version, "tests")
    values = np.zeros((6, 40, 40))
    values[3, 5:20, 5:20] = 1500
    site.receive(with_pixels(slice_headers(size=(40, 40)), values))

    def as_the_worker_does(job: ClaimedJob) -> object:
        assert job.shadow
        ready = site.resident.ready(site.algorithms.find(job.algorithm_name, job.algorithm_version))
        study = site.studies.stable_study(job.study_instance_uid, job.revision)
        return analyse(study, ready, job.started_at, b"s" * 32, frozenset())

    with site.worker(as_the_worker_does):
        assert site.job_when_settled() == ("completed", "analysed", None)

    ((findings, pictures, text),) = site.rows("SELECT findings, pictures, report_text FROM result")
    assert len(findings) == 1
    assert pictures == []
    assert text
    assert site.rows("SELECT count(*) FROM evidence") == [(0,)]
    assert site.rows("SELECT count(*) FROM job") == [(1,)]


def test_a_shadow_is_laid_over_what_the_active_version_outlined(site: Site) -> None:
    """Of 16 voxels the shadow outlines the 8 brightest: a Dice of 2/3, kept as a number, with no mask of the shadow."""
    site.install(write_tiny_algorithm(site.folder / "shadow", bright_network(1000.5), identity={"version": "2.0"}))
    site.install(write_tiny_algorithm(site.folder / "active"))
    site.algorithms.shadow("tiny", "2.0", "tests")
    values = np.zeros((6, 8, 8))
    values[2:4, 1:3, 1:5] = 500
    values[2:4, 1:3, 1:3] = 1500
    site.receive(with_pixels(slice_headers(size=(8, 8)), values))

    def as_the_worker_does(job: ClaimedJob) -> object:
        ready = site.resident.ready(site.algorithms.find(job.algorithm_name, job.algorithm_version))
        study = site.studies.stable_study(job.study_instance_uid, job.revision)
        beside = site.queue.active_outline(job) if job.shadow else None
        return analyse(study, ready, job.started_at, b"s" * 32, frozenset(), beside=beside)

    with site.worker(as_the_worker_does):
        site.wait_for(lambda: site.rows("SELECT count(*) FROM result") == [(2,)])

    (active, shadow) = site.rows(
        "SELECT job.shadow, scores, (SELECT count(*) FROM evidence WHERE evidence.result_id = result.id) "
        "FROM result_statistics JOIN result ON result.id = result_id JOIN job ON job.id = job_id ORDER BY shadow"
    )
    assert (active[0], shadow[0], shadow[2]) == (False, True, 0)
    assert active[2] > 0
    assert shadow[1]["Dice of Brain with 1.0"] == pytest.approx(2 / 3)
    assert "Dice" not in str(active[1])


def test_a_lost_mask_of_the_active_version_costs_no_result(tmp_path: Path) -> None:
    """Where the file is missing or no DICOM there is no Dice; where the active version outlined nothing it is 0."""
    broken = tmp_path / "broken"
    broken.write_bytes(b"no DICOM")

    assert overlaps((), ActiveOutline("1", tmp_path / "missing")) == {}
    assert overlaps((), ActiveOutline("1", broken)) == {}
    assert overlaps((), ActiveOutline("1", None)) == {}
