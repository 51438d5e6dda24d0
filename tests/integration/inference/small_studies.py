"""Studies of six slices, each with UIDs of its own, and what has become of their jobs."""

import numpy as np

from tests.integration.inference.conftest import Site
from tests.peers.synthetic_series import slice_headers, with_pixels

USUAL = np.zeros((6, 5, 4))
USUAL[2:4, 1:3, 1:3] = 1000
POISON = USUAL * 9


def receive(site: Site, number: int, values: np.ndarray = USUAL) -> str:
    """A study with UIDs of its own; returns its UID."""
    uid = f"1.2.3.{number}"

    def name(place: int, header: object) -> None:
        header.StudyInstanceUID = uid  # type: ignore[attr-defined]
        header.SeriesInstanceUID = f"{uid}.1"  # type: ignore[attr-defined]
        header.SOPInstanceUID = f"{uid}.1.{place + 1}"  # type: ignore[attr-defined]

    site.receive(with_pixels(slice_headers(edit=name), values))
    return uid


def jobs(site: Site) -> dict[str, tuple[str, str | None, int, int]]:
    """State, reason, attempts and lost children of the inference of each study."""
    rows = site.rows(
        "SELECT study_instance_uid, state, reason_code, attempt, child_deaths FROM job "
        "JOIN study ON study.id = study_id WHERE kind = 'inference'"
    )
    return {uid: tuple(rest) for uid, *rest in rows}  # type: ignore[misc]
