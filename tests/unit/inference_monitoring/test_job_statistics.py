"""What is noted of a job: how values are spread, how long stages take, which scores there are."""

import json
from dataclasses import replace

import numpy as np
import pytest

from inference.algorithms.manifest import parse_manifest
from inference.monitoring import job_watch
from inference.monitoring.job_watch import JobWatch
from inference.monitoring.summary import job_statistics, scores
from inference.monitoring.value_tally import ValueTally
from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import Classification, Detection, Finding, Measurement
from storage.domain.job_statistics import HISTOGRAM_EDGES, Acquisition, JobStatistics, Seen, Stage
from tests.peers.synthetic_series import slice_headers
from tests.peers.tiny_algorithm import manifest_with

VOLUME = CodedConcept("118565006", "SCT", "Volume")
CM3 = CodedConcept("cm3", "UCUM", "cubic centimeter")
TINY = parse_manifest(manifest_with())
MEAN = CodedConcept("373098007", "SCT", "Mean")


def test_a_small_input_is_described_exactly() -> None:
    """Of 0 to 100 every figure is known; a value on an edge counts in the bin that begins there."""
    tally = ValueTally(Seen.RECEIVED)
    tally.add(np.arange(101, dtype=np.float32).reshape(1, 101))

    spread = tally.statistics()

    assert (spread.count, spread.minimum, spread.maximum, spread.mean) == (101, 0, 100, 50)
    assert spread.sd == pytest.approx(np.arange(101).std())
    assert spread.percentiles == (1, 5, 25, 50, 75, 95, 99)
    edges = HISTOGRAM_EDGES[Seen.RECEIVED]
    assert len(spread.histogram) == len(edges) + 1
    assert sum(spread.histogram) == 101
    assert spread.histogram[edges.index(0) + 1] == 10
    assert spread.histogram[edges.index(100) + 1] == 1


def test_a_large_input_is_described_from_a_sample() -> None:
    """Of eight million values of which every column differs, the sampled figures are nearly those of all."""
    values = np.random.default_rng(1).normal(40, 10, (2, 2000, 2000)).astype(np.float32)
    values += np.arange(2000, dtype=np.float32) / 100
    tally = ValueTally(Seen.RECEIVED)
    tally.add(values)

    spread = tally.statistics()

    assert spread.count == 8_000_000
    assert 50_000 < sum(spread.histogram) < 150_000
    wanted = np.percentile(values, (1, 5, 25, 50, 75, 95, 99))
    assert np.abs(np.array(spread.percentiles) - wanted).max() < 0.3


def test_a_sample_sees_every_column() -> None:
    """Of an image whose rows are a multiple of the step, more than one column in 128 is looked at."""
    values = np.zeros((4096, 4096), np.float32)
    values[:, np.arange(4096) % 128 != 0] = 1
    tally = ValueTally(Seen.RECEIVED)
    tally.add(values)

    assert tally.statistics().mean == pytest.approx(127 / 128, abs=0.005)


def test_images_one_by_one_are_described_as_all_of_them() -> None:
    """The parts of a series give what the whole gives."""
    values = np.random.default_rng(2).normal(0, 1, (5, 20, 20)).astype(np.float32)
    whole, parts = ValueTally(Seen.PREPARED), ValueTally(Seen.PREPARED, 5)
    whole.add(values)
    for image in values:
        parts.add(image)

    assert parts.statistics() == whole.statistics()


def test_edges_of_histograms_grow() -> None:
    """Bins neither overlap nor are empty by their making."""
    for edges in HISTOGRAM_EDGES.values():
        assert list(edges) == sorted(set(edges))


def test_each_second_counts_for_one_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stage inside another takes is not counted for the outer one."""
    moments = iter([0.0, 1.0, 3.0, 7.0])
    monkeypatch.setattr(job_watch, "working_time", lambda: next(moments))
    watch = JobWatch()

    with watch.stage(Stage.INFER), watch.stage(Stage.LOAD):
        pass

    assert watch.seconds == {Stage.INFER: 1.0 + 4.0, Stage.LOAD: 2.0}


def test_a_stage_that_fails_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception ends the stage; the next one begins anew."""
    moments = iter([0.0, 2.0, 5.0, 6.0])
    monkeypatch.setattr(job_watch, "working_time", lambda: next(moments))
    watch = JobWatch()

    with pytest.raises(ValueError, match="no"), watch.stage(Stage.LOAD):
        raise ValueError("no")
    with watch.stage(Stage.INFER):
        pass

    assert watch.seconds == {Stage.LOAD: 2.0, Stage.INFER: 1.0}


def _finding(identifier: str, value: float) -> Finding:
    return Finding(VOLUME, None, identifier, "1.2", (Measurement(VOLUME, value, CM3, MEAN),))


def test_scores_have_the_same_names_in_every_job() -> None:
    """A class has its probability, a segment its measurements, and of numbered findings the highest one counts; a
    label that ends in a number is itself."""
    seen = Classification("pneumonia", 0.25, 0.5, "chosen", False, "1.2", 1, 1)
    found = scores(
        [
            Finding(VOLUME, None, "algo pneumonia", "1.2", (), seen),
            _finding("algo Lobe 2", 700.0),
            _finding("algo Liver", 1500.0),
            _finding("algo nodule 1", 3.0),
            _finding("algo nodule 2", 5.0),
            _finding("algo broken", float("nan")),
            Finding(VOLUME, None, "algo mass", "1.2", classification=seen, detection=Detection((), 0, 0)),
        ],
        "algo",
        ["pneumonia", "Liver", "Lobe 2", "broken", "nodule", "cyst", "mass"],
    )

    assert found == {
        "probability of pneumonia": 0.25,
        "Mean Volume of Liver (cm3)": 1500.0,
        "Mean Volume of nodule (cm3)": 5.0,
        "Mean Volume of Lobe 2 (cm3)": 700.0,
        "probability of mass": 0.25,
        "number of cyst": 0.0,
        "number of mass": 0.0,
        "number of nodule": 2.0,
    }


def test_values_that_are_no_numbers_are_not_kept() -> None:
    """A database cannot hold infinity as JSON, and a result must not be lost for its statistics."""
    watch = JobWatch()
    watch.saw(Seen.RECEIVED, np.ones((2, 2), np.float32))
    watch.saw(Seen.PREPARED, np.array([[np.inf, 1]], np.float32))
    watch.saw(Seen.PREPARED, np.zeros((0, 2), np.float32))

    kept = job_statistics(watch, slice_headers(), [], TINY, b"s" * 32)

    assert list(kept.values) == [Seen.RECEIVED]
    json.dumps(kept.as_json(), allow_nan=False)


def test_statistics_go_through_json() -> None:
    """What a model's process hands over, and what a row holds, is what was noted."""
    watch = JobWatch()
    with watch.stage(Stage.LOAD):
        watch.saw(Seen.RECEIVED, np.arange(6, dtype=np.float32).reshape(2, 3))
    kept = job_statistics(watch, slice_headers(), [_finding("tiny Brain", 1.5)], TINY, b"s" * 32)

    assert JobStatistics.from_json(json.loads(json.dumps(kept.as_json()))) == kept


def test_what_results_are_grouped_by_is_coarse() -> None:
    """Slices of 0.98 and 1.02 mm are one protocol, others are not; a device of which nothing is known is unknown."""
    one = Acquisition("ACME", "Scan 3", "0123abcd", "MR", "HEAD", "GR", "", 0.98, 2.89)

    assert one.scanner == "ACME Scan 3 #0123abcd"
    assert one.protocol == "MR HEAD GR 1 mm 2.9 T"
    assert replace(one, slice_thickness_mm=1.02).protocol == one.protocol
    assert replace(one, slice_thickness_mm=1.3).protocol != one.protocol
    assert replace(one, slice_thickness_mm=4.9).protocol == replace(one, slice_thickness_mm=5.2).protocol
    assert (Acquisition().scanner, Acquisition().protocol) == ("unknown", "unknown")
