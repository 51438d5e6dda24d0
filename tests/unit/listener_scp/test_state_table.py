"""The state table of the upper layer: each state with each event."""

import pytest
from pynetdicom.fsm import TRANSITION_TABLE

from listener.scp.state_table import STATE_AFTER, TABLE, Action, Event, ImpossibleEvent, State, StateMachine

# PS3.8 table 9-10, its columns Sta1, Sta2, Sta3, Sta6, Sta8, Sta13, row by row; "-" where the Standard has nothing.
TABLE_9_10 = """
ASSOCIATE_REQUEST      -    -    -    -    -    -
TRANSPORT_CONFIRMATION -    -    -    -    -    -
ASSOCIATE_AC_PDU       -    AA-1 AA-8 AA-8 AA-8 AA-6
ASSOCIATE_RJ_PDU       -    AA-1 AA-8 AA-8 AA-8 AA-6
TRANSPORT_INDICATION   AE-5 -    -    -    -    -
ASSOCIATE_RQ_PDU       -    AE-6 AA-8 AA-8 AA-8 AA-7
ACCEPT_RESPONSE        -    -    AE-7 -    -    -
REJECT_RESPONSE        -    -    AE-8 -    -    -
DATA_REQUEST           -    -    -    DT-1 AR-7 -
DATA_PDU               -    AA-1 AA-8 DT-2 AA-8 AA-6
RELEASE_REQUEST        -    -    -    -    -    -
RELEASE_RQ_PDU         -    AA-1 AA-8 AR-2 AA-8 AA-6
RELEASE_RP_PDU         -    AA-1 AA-8 AA-8 AA-8 AA-6
RELEASE_RESPONSE       -    -    -    -    AR-4 -
ABORT_REQUEST          -    -    AA-1 AA-1 AA-1 -
ABORT_PDU              -    AA-2 AA-3 AA-3 AA-3 AA-2
TRANSPORT_CLOSED       -    AA-5 AA-4 AA-4 AA-4 AR-5
TIMER_EXPIRED          -    AA-2 -    -    -    AA-2
INVALID_PDU            -    AA-1 AA-8 AA-8 AA-8 AA-7
"""

# PS3.8 tables 9-6 to 9-9: the state that each action leads to.
NEXT_STATES = """
AE-5 2
AE-6 3 13
AE-7 6
AE-8 13
DT-1 6
DT-2 6
AR-2 8
AR-4 13
AR-5 1
AR-7 8
AA-1 13
AA-2 1
AA-3 1
AA-4 1
AA-5 1
AA-6 13
AA-7 13
AA-8 13
"""

CELLS = [
    (Event[row.split()[0]], state, None if cell == "-" else Action(cell))
    for row in TABLE_9_10.strip().splitlines()
    for state, cell in zip(State, row.split()[1:], strict=True)
]
AFTER = {Action(line.split()[0]): tuple(map(int, line.split()[1:])) for line in NEXT_STATES.strip().splitlines()}


@pytest.mark.parametrize(("event", "state", "action"), CELLS)
def test_each_event_in_each_state_does_what_the_standard_says(event, state, action):
    """The action of table 9-10 is returned and its state entered; what has no cell is refused and changes nothing."""
    machine = StateMachine()
    machine.state = state

    if action is None:
        with pytest.raises(ImpossibleEvent, match=rf"{event.name} in {state.name}"):
            machine.advance(event)
        assert machine.state is state
    else:
        assert machine.advance(event) is action
        assert machine.state == AFTER[action][0]


def test_a_request_that_the_provider_cannot_take_waits_for_the_close():
    """AE-6 has two outcomes: Sta3, or Sta13 after a rejection by the provider."""
    machine = StateMachine()
    machine.state = State.AWAITING_REQUEST

    assert machine.advance(Event.ASSOCIATE_RQ_PDU, acceptable=False) is Action.AE_6
    assert machine.state is State.AWAITING_CLOSE


def test_the_whole_table_is_tested():
    """Nineteen events in six states, and every action has its next state."""
    assert len(CELLS) == len(Event) * len(State) == 19 * 6
    assert {(event, state) for event, row in TABLE.items() for state in row} == {
        (event, state) for event, state, action in CELLS if action
    }
    assert {action: tuple(map(int, after)) for action, after in STATE_AFTER.items()} == AFTER


def test_another_implementation_agrees():
    """pynetdicom's own table has the same cells in our six columns, but for what an acceptor never asks for."""
    theirs = {
        (int(event[3:]), int(state[3:])): action
        for (event, state), action in TRANSITION_TABLE.items()
        if int(state[3:]) in list(State) and event not in ("Evt1", "Evt2", "Evt11")
    }

    assert {(int(event), int(state)): str(action) for event, state, action in CELLS if action} == theirs
