"""Trouble since the installation, as the audit trail tells it."""

from typing import Any

import pytest

from storage.domain.job import Reason
from storage.postgres import counted_events
from storage.postgres.counted_events import CountedEvents

_WHY = Reason("trouble", "Something went wrong.")


@pytest.mark.parametrize("at_once", [1, 2, 200_000])
def test_a_long_trail_is_counted_piece_by_piece(hospital: Any, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """However many rows are read at once, each event is counted once, and what comes later is added."""
    monkeypatch.setattr(counted_events, "_AT_ONCE", at_once)
    hospital.install()
    for number in range(3):
        hospital.stable_study(f"1.2.{number}")
        hospital.queue.fail(hospital.claimed(), _WHY)
    events = CountedEvents(hospital.database)

    assert events.ever()["given_up"] == {"inference": 3}
    hospital.stable_study("1.2.9")
    hospital.queue.fail(hospital.claimed(), _WHY)
    assert events.ever()["given_up"] == {"inference": 4}
