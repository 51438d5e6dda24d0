"""The state table of the upper layer protocol, as far as who accepts associations needs it (PS3.8 section 9.2).

The names in the comments are the Standard's: tables 9-1 to 9-5 for states, 9-6 to 9-9 for actions, 9-10 for the whole.
Left out are the states of who requests an association (Sta4, Sta5) and of who asks for its release (Sta7, Sta9 to
Sta12): we never do. Events that only they can see stand here with the answer they get in the other states.
"""

from enum import IntEnum, StrEnum


class State(IntEnum):
    """Where an association is."""

    IDLE = 1
    AWAITING_REQUEST = 2  # the connection stands, A-ASSOCIATE-RQ is to come
    AWAITING_LOCAL_RESPONSE = 3  # we decide whether to accept
    ESTABLISHED = 6  # data may be transferred
    AWAITING_LOCAL_RELEASE = 8  # the peer asked for the release, we are to answer
    AWAITING_CLOSE = 13  # the association is over, the peer is to close the connection


class Event(IntEnum):
    """What happened: ours (a primitive), the peer's (a PDU), the connection's or the clock's."""

    ASSOCIATE_REQUEST = 1
    TRANSPORT_CONFIRMATION = 2
    ASSOCIATE_AC_PDU = 3
    ASSOCIATE_RJ_PDU = 4
    TRANSPORT_INDICATION = 5
    ASSOCIATE_RQ_PDU = 6
    ACCEPT_RESPONSE = 7
    REJECT_RESPONSE = 8
    DATA_REQUEST = 9
    DATA_PDU = 10
    RELEASE_REQUEST = 11
    RELEASE_RQ_PDU = 12
    RELEASE_RP_PDU = 13
    RELEASE_RESPONSE = 14
    ABORT_REQUEST = 15
    ABORT_PDU = 16
    TRANSPORT_CLOSED = 17
    TIMER_EXPIRED = 18  # the ARTIM timer (PS3.8 section 9.1.5)
    INVALID_PDU = 19


class Action(StrEnum):
    """What is to be done; each leads to one state, AE-6 to one of two."""

    AE_5 = "AE-5"  # transport connection response; start the timer
    AE_6 = "AE-6"  # stop the timer; indicate the request, or reject what the provider cannot take and start the timer
    AE_7 = "AE-7"  # send A-ASSOCIATE-AC
    AE_8 = "AE-8"  # send A-ASSOCIATE-RJ and start the timer
    DT_1 = "DT-1"  # send P-DATA-TF
    DT_2 = "DT-2"  # indicate data
    AR_2 = "AR-2"  # indicate the release
    AR_4 = "AR-4"  # send A-RELEASE-RP and start the timer
    AR_5 = "AR-5"  # stop the timer
    AR_7 = "AR-7"  # send P-DATA-TF while the release waits
    AA_1 = "AA-1"  # send A-ABORT (service-user) and start the timer
    AA_2 = "AA-2"  # stop the timer; close the connection
    AA_3 = "AA-3"  # indicate the abort; close the connection
    AA_4 = "AA-4"  # indicate that the provider aborted
    AA_5 = "AA-5"  # stop the timer
    AA_6 = "AA-6"  # ignore the PDU
    AA_7 = "AA-7"  # send A-ABORT
    AA_8 = "AA-8"  # send A-ABORT (service-provider), indicate that the provider aborted, start the timer


STATE_AFTER: dict[Action, tuple[State, ...]] = {
    Action.AE_5: (State.AWAITING_REQUEST,),
    Action.AE_6: (State.AWAITING_LOCAL_RESPONSE, State.AWAITING_CLOSE),  # acceptable to the provider, or not
    Action.AE_7: (State.ESTABLISHED,),
    Action.AE_8: (State.AWAITING_CLOSE,),
    Action.DT_1: (State.ESTABLISHED,),
    Action.DT_2: (State.ESTABLISHED,),
    Action.AR_2: (State.AWAITING_LOCAL_RELEASE,),
    Action.AR_4: (State.AWAITING_CLOSE,),
    Action.AR_5: (State.IDLE,),
    Action.AR_7: (State.AWAITING_LOCAL_RELEASE,),
    Action.AA_1: (State.AWAITING_CLOSE,),
    Action.AA_2: (State.IDLE,),
    Action.AA_3: (State.IDLE,),
    Action.AA_4: (State.IDLE,),
    Action.AA_5: (State.IDLE,),
    Action.AA_6: (State.AWAITING_CLOSE,),
    Action.AA_7: (State.AWAITING_CLOSE,),
    Action.AA_8: (State.AWAITING_CLOSE,),
}

_STA1, _STA2, _STA3, _STA6, _STA8, _STA13 = State
_UNEXPECTED = {_STA2: Action.AA_1, _STA3: Action.AA_8, _STA6: Action.AA_8, _STA8: Action.AA_8, _STA13: Action.AA_6}

# PS3.8 table 9-10: for each event what is to be done in which state; what is not here cannot happen.
TABLE: dict[Event, dict[State, Action]] = {
    Event.ASSOCIATE_REQUEST: {},
    Event.TRANSPORT_CONFIRMATION: {},
    Event.ASSOCIATE_AC_PDU: _UNEXPECTED,
    Event.ASSOCIATE_RJ_PDU: _UNEXPECTED,
    Event.TRANSPORT_INDICATION: {_STA1: Action.AE_5},
    Event.ASSOCIATE_RQ_PDU: _UNEXPECTED | {_STA2: Action.AE_6, _STA13: Action.AA_7},
    Event.ACCEPT_RESPONSE: {_STA3: Action.AE_7},
    Event.REJECT_RESPONSE: {_STA3: Action.AE_8},
    Event.DATA_REQUEST: {_STA6: Action.DT_1, _STA8: Action.AR_7},
    Event.DATA_PDU: _UNEXPECTED | {_STA6: Action.DT_2},
    Event.RELEASE_REQUEST: {},
    Event.RELEASE_RQ_PDU: _UNEXPECTED | {_STA6: Action.AR_2},
    Event.RELEASE_RP_PDU: _UNEXPECTED,
    Event.RELEASE_RESPONSE: {_STA8: Action.AR_4},
    Event.ABORT_REQUEST: {_STA3: Action.AA_1, _STA6: Action.AA_1, _STA8: Action.AA_1},
    Event.ABORT_PDU: {
        _STA2: Action.AA_2,
        _STA3: Action.AA_3,
        _STA6: Action.AA_3,
        _STA8: Action.AA_3,
        _STA13: Action.AA_2,
    },
    Event.TRANSPORT_CLOSED: {
        _STA2: Action.AA_5,
        _STA3: Action.AA_4,
        _STA6: Action.AA_4,
        _STA8: Action.AA_4,
        _STA13: Action.AR_5,
    },
    Event.TIMER_EXPIRED: {_STA2: Action.AA_2, _STA13: Action.AA_2},
    Event.INVALID_PDU: _UNEXPECTED | {_STA13: Action.AA_7},
}


class ImpossibleEvent(Exception):
    """An event came in a state in which the Standard knows no such event; the code that raised it is wrong."""


class StateMachine:
    """Keeps the state of one association; the table decides, whoever holds the machine acts."""

    def __init__(self) -> None:
        self.state = State.IDLE

    def advance(self, event: Event, acceptable: bool = True) -> Action:
        """Take the event, move to the next state and return what is to be done.

        ``acceptable`` says of an association request whether the service provider can take it (AE-6).

        Raises:
            ImpossibleEvent: the table has nothing for this event in this state.
        """
        action = TABLE[event].get(self.state)
        if action is None:
            raise ImpossibleEvent(f"{event.name} in {self.state.name}")
        after = STATE_AFTER[action]
        self.state = after[0] if acceptable or len(after) == 1 else after[1]
        return action
