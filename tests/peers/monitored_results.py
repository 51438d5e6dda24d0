"""Results as monitoring sees them, many at once: heads of a scanner, whose values may shift."""

import contextlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import psycopg2
from psycopg2.extras import Json

from storage.domain.job_statistics import HISTOGRAM_EDGES, Acquisition, JobStatistics, Seen, Stage, ValueStatistics
from storage.settings import MonitoringSettings

SETTINGS = MonitoringSettings(baseline_results=60, window_results=40, minimum_results=30)


def one_result(generator: np.random.Generator, scanner: str = "A", shift: float = 0.0) -> JobStatistics:
    """What a job on one head gives: patients differ, so that its mean does by 40 and its volume by 100."""
    mean = 300 + 40 * generator.normal() + shift
    sd = 80 * np.exp(0.1 * generator.normal())
    percentiles = tuple(float(mean + sd * at) for at in (-2.3, -1.6, -0.7, 0, 0.7, 1.6, 2.3))
    histogram = [0] * (len(HISTOGRAM_EDGES[Seen.RECEIVED]) + 1)
    histogram[int(np.searchsorted(HISTOGRAM_EDGES[Seen.RECEIVED], mean))] = 1000
    values = ValueStatistics(1000, 0.0, 900.0, float(mean), float(sd), percentiles, tuple(histogram))
    volume = float(1500 + 100 * generator.normal())
    acquisition = Acquisition("ACME", scanner, "", "MR", "HEAD", "GR", "", 1.0, 3.0, 176, 256, 256, 1.0, 1.0)
    stages = {Stage.LOAD: 0.5, Stage.INFER: float(generator.uniform(1, 3))}
    return JobStatistics(acquisition, {Seen.RECEIVED: values}, {"Volume of Brain (cm3)": volume}, stages)


def remember(url: str, results: Iterable[JobStatistics]) -> None:
    """The same rows of results, many at once, of the newest version; their studies and jobs are left out."""
    rows = [(one.acquisition.scanner, one.acquisition.protocol, Json(one.as_json())) for one in results]
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # no job is there for a result to refer to
        for row in rows:
            cursor.execute(_ONE_RESULT, row)


_ONE_RESULT = """
WITH one AS (
    INSERT INTO result (job_id, series_instance_uid, artifact_sha256, execution_provider, findings, report_text)
    SELECT -1 - count(*), '1.2', repeat('b', 64), 'CPUExecutionProvider', '[]', '' FROM result RETURNING id
)
INSERT INTO result_statistics (result_id, algorithm_id, scanner, protocol, acquisition, values, scores, stages)
SELECT one.id, (SELECT max(id) FROM algorithm), scanner, protocol, kept->'acquisition', kept->'values', kept->'scores',
    kept->'stages'
FROM one, (VALUES (%s, %s, %s::jsonb)) AS given (scanner, protocol, kept)
"""


def spread(seed: int, count: int, **how: Any) -> list[JobStatistics]:
    """So many results, the same ones for the same seed."""
    generator = np.random.default_rng(seed)
    return [one_result(generator, **how) for _ in range(count)]
