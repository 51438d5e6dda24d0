"""Who is inside a child: several jobs, or one by itself."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOK_S = 0.1  # how soon somebody outside notices that nobody waits for him any more


class GivenUp(Exception):
    """Whoever waited at the door is not wanted inside any more."""


class Stay:
    """One job's time inside; ``accompanied`` says whether another one was there during any of it."""

    def __init__(self) -> None:
        self.accompanied = False


class Doors:
    """Lets jobs in together; those that ask to be alone, one by one in the order of their asking, before others."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: list[Stay] = []
        self._is_alone = False
        self._in_line: deque[Stay] = deque()

    @property
    def inside(self) -> int:
        """How many are inside."""
        return len(self._inside)

    @contextmanager
    def stay(self, alone: bool, given_up: Callable[[], bool]) -> Iterator[Stay]:
        """Be inside for the block, by oneself if ``alone``.

        Raises:
            GivenUp: ``given_up`` became true before one was let in.
        """
        mine = Stay()
        with self._changed:
            if alone:
                self._in_line.append(mine)
            try:
                while not self._may_enter(mine, alone):
                    if given_up():
                        raise GivenUp
                    self._changed.wait(_LOOK_S)
            finally:
                if alone:
                    self._in_line.remove(mine)
            self._enter(mine, alone)
        try:
            yield mine
        finally:
            with self._changed:
                self._inside.remove(mine)
                self._is_alone = False
                self._changed.notify_all()

    def _may_enter(self, mine: Stay, alone: bool) -> bool:
        if alone:
            return not self._inside and self._in_line[0] is mine
        return not self._is_alone and not self._in_line

    def _enter(self, mine: Stay, alone: bool) -> None:
        self._is_alone = alone
        for other in self._inside:
            other.accompanied = mine.accompanied = True
        self._inside.append(mine)
