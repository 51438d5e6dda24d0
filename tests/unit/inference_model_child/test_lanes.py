"""Several workers in one process live and end together."""

import threading
from collections.abc import Callable

import pytest

from inference import lanes
from inference.lanes import LaneFailed, SignsOfLife, run_lanes


class _Lane:
    """Stands where a worker stands: does something once, then waits until it is stopped."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self._act = act
        self.stopped = False

    def run(self, stop: threading.Event) -> None:
        self._act()
        assert stop.wait(60)
        self.stopped = True


def _fail() -> None:
    raise RuntimeError("For the test.")


def test_an_error_of_one_lane_ends_all() -> None:
    """The role then starts again as a whole, instead of going on with less than it should have."""
    lane = _Lane()

    with pytest.raises(LaneFailed):
        run_lanes([lane, _Lane(_fail)], SignsOfLife(2), threading.Event(), lambda: None)  # type: ignore[list-item]

    assert lane.stopped


def test_lanes_live_until_they_are_stopped() -> None:
    """There is a sign of life meanwhile, and none is left behind."""
    stop, signs = threading.Event(), []

    def alive() -> None:
        signs.append(True)
        stop.set()

    both = [_Lane(), _Lane()]
    run_lanes(both, SignsOfLife(2), stop, alive)  # type: ignore[arg-type]

    assert signs
    assert all(lane.stopped for lane in both)


def test_one_silent_lane_silences_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that hangs is noticed from outside, although the others work."""
    monkeypatch.setattr(lanes, "_SILENT_S", 0.05)
    signs = SignsOfLife(2)
    note = signs.of(0)
    threading.Event().wait(0.2)

    note()
    assert not signs.all_live()
    signs.of(1)()
    assert signs.all_live()
