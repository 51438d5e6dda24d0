"""Duties come by a wall clock that may be set at any time."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from storage.housekeeping.wall_clock import Every, WallClock

_NOW = datetime(2026, 3, 29, 1, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("missed", [timedelta(0), timedelta(days=400), timedelta(days=-400)])
def test_a_duty_is_due_one_interval_from_now_whatever_was_missed(missed: timedelta) -> None:
    """Also after a jump of the clock either way."""
    assert Every(0.5).get_next_fire_time(_NOW - missed, _NOW) == _NOW + timedelta(seconds=0.5)


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 1.0, -1.0])
def test_a_jump_is_told_once(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """While nobody sets the clock there is none."""
    clock, honest = WallClock(), time.time
    assert not clock.has_jumped()

    monkeypatch.setattr(time, "time", lambda: honest() + jump)

    assert clock.has_jumped()
    assert not clock.has_jumped()
