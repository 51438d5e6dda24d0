"""The pace of a destination, by a clock that only the test moves."""

import pytest

from listener.scu.pace import Pace


class Clock:
    """Seconds that pass only while somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.now += seconds


@pytest.mark.parametrize(
    ("objects_per_second", "mib_per_second", "size", "seconds"),
    [
        (0, 0, 2**20, 0),
        (2, 0, 2**20, 2),
        (0, 4, 2**20, 1),
        (2, 1, 2**20, 4),  # the slower one counts
        (2, 4, 2**20, 2),
    ],
)
def test_the_fifth_object_goes_after_the_time_of_four(
    objects_per_second: float, mib_per_second: float, size: int, seconds: float
) -> None:
    """The first goes at once; each later one after the time that those before it have by count and by size."""
    clock = Clock()
    pace = Pace(objects_per_second, mib_per_second, lambda: clock.now, clock.sleep)

    for _ in range(5):
        pace.wait(pace.take_turn(size), lambda: False)

    assert clock.now - 1000 == pytest.approx(seconds)


def test_what_was_not_used_is_not_saved_up() -> None:
    """After an idle hour there is no burst: the second object waits its whole time."""
    clock = Clock()
    pace = Pace(0.5, 0, lambda: clock.now, clock.sleep)
    pace.take_turn(1)
    clock.now += 3600

    assert [pace.take_turn(1), pace.take_turn(1)] == pytest.approx([0, 2])


def test_who_is_stopped_waits_no_longer() -> None:
    """A pace of one object an hour holds up no process that has to end."""
    clock = Clock()
    pace = Pace(1 / 3600, 0, lambda: clock.now, clock.sleep)

    pace.wait(3600, lambda: clock.now > 1001)

    assert clock.now < 1002
