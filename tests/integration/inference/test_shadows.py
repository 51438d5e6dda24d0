"""A real analysis in shadow: the findings are there, and nothing that anybody could open."""

from pathlib import Path

import numpy as np
import pytest

from inference.pipeline import analyse
from storage.domain.job import ClaimedJob
from tests.integration.inference.conftest import Site
from tests.peers.synthetic_series import slice_headers, with_pixels
from tests.peers.tiny_algorithm import write_tiny_algorithm
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
