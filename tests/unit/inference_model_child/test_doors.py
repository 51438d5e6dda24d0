"""Who may be in a child beside whom."""

import contextlib
import threading
from collections.abc import Iterator

import pytest

from inference.model_child.doors import Doors, GivenUp, Stay
from inference.stages import WAIT, begin, tell_stages_to, waiting, work_on, work_on_instance, working_time
from inference.turns import Turn


class _Visit:
    """A stay in a thread of its own, until it is told to leave."""

    def __init__(self, doors: Doors, alone: bool = False) -> None:
        self.entered, self._leave = threading.Event(), threading.Event()
        self.is_wanted = True
        self.was_given_up = False
        self.stay: Stay | None = None
        self._thread = threading.Thread(target=self._run, args=(doors, alone))
        self._thread.start()

    def _run(self, doors: Doors, alone: bool) -> None:
        try:
            with doors.stay(alone, lambda: not self.is_wanted) as self.stay:
                self.entered.set()
                self._leave.wait(30)
        except GivenUp:
            self.was_given_up = True

    def end(self) -> None:
        """Leave, from inside or from the line."""
        self.is_wanted = False
        self._leave.set()
        self._thread.join(30)


@contextlib.contextmanager
def _visit(doors: Doors, alone: bool = False) -> Iterator[_Visit]:
    visit = _Visit(doors, alone)
    try:
        yield visit
    finally:
        visit.end()


def test_several_are_inside_together_and_know_it() -> None:
    """Both have had company, also the one that was there first; one that comes later has had none."""
    doors = Doors()
    with _visit(doors) as first:
        assert first.entered.wait(30)
        with _visit(doors) as second:
            assert second.entered.wait(30)
            assert first.stay is not None
            assert second.stay is not None
            assert first.stay.accompanied
            assert second.stay.accompanied
    with doors.stay(False, lambda: False) as third:
        assert doors.inside == 1
    assert not third.accompanied


def test_one_that_is_to_be_alone_waits_for_the_others_and_holds_them_up() -> None:
    """It enters when all have left, before those that came after it, and has no company."""
    doors = Doors()
    with _visit(doors) as first:
        assert first.entered.wait(30)
        with _visit(doors, alone=True) as alone:
            assert not alone.entered.wait(0.3)
            with _visit(doors) as late:
                assert not late.entered.wait(0.3)
                first.end()
                assert alone.entered.wait(30)
                assert not late.entered.wait(0.3)
                alone.end()
                assert late.entered.wait(30)
    assert alone.stay is not None
    assert not alone.stay.accompanied


def test_one_that_nobody_waits_for_leaves_the_line() -> None:
    """Those behind it go on."""
    doors = Doors()
    with _visit(doors) as first:
        assert first.entered.wait(30)
        with _visit(doors, alone=True) as alone:
            assert not alone.entered.wait(0.2)
            alone.end()
            assert alone.was_given_up
            with _visit(doors) as late:
                assert late.entered.wait(30)


def test_a_job_that_waits_for_its_turn_says_so_and_its_clock_stands_still() -> None:
    """The step goes on afterwards with the same series and instance, and what another thread says is not mixed in."""
    said: list[tuple[str, str, str]] = []
    turn = Turn()
    taken, done = threading.Event(), threading.Event()

    def other() -> None:
        with turn:
            work_on("9.9")
            taken.set()
            done.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    assert taken.wait(30)
    tell_stages_to(lambda *told: said.append(told))
    try:
        begin("infer")
        work_on("1.2")
        work_on_instance("1.2.3")
        threading.Timer(0.2, done.set).start()
        with turn:
            pass
    finally:
        tell_stages_to()
        thread.join(30)
    assert said[-3:] == [("infer", "1.2", "1.2.3"), (WAIT, "1.2", "1.2.3"), ("infer", "1.2", "1.2.3")]
    before = working_time()
    with waiting():
        threading.Event().wait(0.2)
    assert working_time() - before < 0.2


def test_a_turn_that_fails_is_given_back() -> None:
    """The next job has it."""
    turn = Turn()
    with pytest.raises(ValueError, match="a network"), turn:
        raise ValueError("a network")
    with turn:
        pass
