"""The rules of a job that need no database."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.domain.job import (
    FINAL_STATES,
    PRIORITY_RANK,
    TRANSITIONS,
    JobEvent,
    JobState,
    Priority,
    next_state,
    retry_delay,
)
from storage.errors import InvalidTransition

_BASE = timedelta(seconds=2)
_CEILING = timedelta(minutes=5)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(JobState, JobEvent)))
def test_every_event_in_every_state_has_an_answer(state: JobState, event: JobEvent) -> None:
    """Each pair leads to the table's next state or is refused by name."""
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(InvalidTransition, match=state):
            next_state(state, event)


def test_final_states_accept_no_event() -> None:
    """Completed, failed and canceled are ends."""
    assert {state for state, _ in TRANSITIONS}.isdisjoint(FINAL_STATES)
    assert set(TRANSITIONS.values()) - {state for state, _ in TRANSITIONS} == FINAL_STATES


def test_stat_comes_before_routine_and_routine_before_low() -> None:
    """Every priority has a rank of its own, in order of urgency."""
    assert sorted(Priority, key=PRIORITY_RANK.__getitem__) == [Priority.STAT, Priority.ROUTINE, Priority.LOW]


@given(attempt=st.integers(-5, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_a_retry_waits_between_half_and_all_of_its_step(attempt: int, jitter: float) -> None:
    """The wait doubles from the base, never passes the ceiling, and jitter takes half of it at most."""
    step = min(_BASE * 2 ** min(max(attempt - 1, 0), 30), _CEILING)

    delay = retry_delay(attempt, base=_BASE, ceiling=_CEILING, jitter=jitter)

    assert step / 2 <= delay <= step


def test_the_first_retries_double() -> None:
    """Without jitter the waits are two, four and eight seconds, and in the end five minutes."""
    waits = [retry_delay(attempt, base=_BASE, ceiling=_CEILING, jitter=0).total_seconds() for attempt in (1, 2, 3, 50)]

    assert waits == [2, 4, 8, 300]
