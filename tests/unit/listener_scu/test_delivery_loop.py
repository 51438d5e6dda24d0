"""The delivery loop when the database goes away."""

import logging

import pytest

from listener.scu import lane
from listener.scu.delivery_worker import DeliveryWorker
from storage.domain.job import JobKind
from storage.errors import DatabaseUnavailable


class _Script:
    """Stands for worker and queue: each turn either works, finds nothing, or finds no database."""

    def __init__(self, *turns: bool | None) -> None:
        self._turns = list(turns)

    def deliver_one(self) -> bool:
        """One turn; ``None`` is a database that does not answer."""
        turn = self._turns.pop(0)
        if turn is None:
            raise DatabaseUnavailable
        return turn

    def rest(self) -> None:
        """Nothing is open."""

    def wait(self) -> None:
        """Return at once."""

    def is_over(self) -> bool:
        """Whether the script is played."""
        return not self._turns


def test_the_loss_and_the_return_of_the_database_are_one_line_each(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the database is away, the log has one line when it goes and one when it is back, each time."""
    monkeypatch.setattr(lane, "_DATABASE_PAUSE_SECONDS", 0)
    script = _Script(True, None, None, None, False, True, None, True)

    with caplog.at_level(logging.INFO, logger="listener"):
        lane.run(script, script.wait, script.is_over)  # type: ignore[arg-type]

    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO", "WARNING", "INFO"]


def test_a_worker_that_finds_nothing_says_so() -> None:
    """Without a due delivery nothing is touched."""

    class Empty:
        def claim(self, kind: JobKind, worker: str) -> None:
            return None

    assert not DeliveryWorker(Empty(), None, {}, None, None, "test").deliver_one()  # type: ignore[arg-type]


def test_what_ends_a_lane_ends_the_process() -> None:
    """A fault that nobody foresaw in one lane is raised where the process waits, so that it is started anew."""

    class Faulty:
        def deliver_one(self) -> bool:
            raise ZeroDivisionError

    broken = lane.Lane("pacs")
    broken.start(Faulty(), lambda: None, lambda: False)  # type: ignore[arg-type]

    with pytest.raises(ZeroDivisionError):
        lane.watch([broken], lambda: None)
