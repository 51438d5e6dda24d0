"""Try a destination over the web: store every instance of a self-test, each alone, and search for each again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from listener.scu.find_again import PAUSE_SECONDS, Again, Query
from listener.scu.instance_query import Found
from listener.scu.probe import Answer, Probed, Rejection
from listener.scu.settings import DestinationSettings
from listener.scu.verdict import NoAnswer
from listener.scu.web.access import Caller, access_to
from listener.scu.web.answer import Concerns, Whole
from listener.scu.web.line import NoReply, Unanswered, WebDeadlines, WebLine, deadlines_of
from listener.scu.web.qido import SearchFailed, look_up
from listener.scu.web.stow import post
from storage.domain.delivery import Verdict
from storage.domain.self_test import SelfTest, SelfTestInstance

_KNOCK_DEADLINES = WebDeadlines(answer=30.0, total=60.0)
_OF_A_PROXY = (502, 504)  # RFC 9110 sections 15.6.3 and 15.6.5
_AS_OTHERS_SAY = {NoReply.UNKNOWN_HOST: NoAnswer.UNKNOWN_HOST, NoReply.INTERRUPTED: NoAnswer.INTERRUPTED}


def knock(_: str, destination: DestinationSettings, stopped: Callable[[], bool] = lambda: False) -> NoAnswer | None:
    """Whether there is a web server that answers at all; ``None`` when there is.

    Whatever its status is, but those by which a proxy says that there is none behind it.

    It is shown no password and no token, so that it can lock nobody out, and asked for nothing of a patient.
    """
    with WebLine(stopped, destination, replace(_KNOCK_DEADLINES, connect=destination.connect_seconds)) as line:
        try:
            reply = line.ask("GET", f"{destination.url.rstrip('/')}/", {"Accept": "*/*"}, most_bytes=0)
        except Unanswered as unanswered:
            if isinstance(unanswered.why, NoAnswer):
                return unanswered.why
            return _AS_OTHERS_SAY.get(unanswered.why, NoAnswer.UNREACHABLE)
    return NoAnswer.UNREACHABLE if reply.status in _OF_A_PROXY else None


def probe_over_the_web(
    destination: DestinationSettings,
    self_test: SelfTest,
    wait_seconds: float,
    deadlines: WebDeadlines | None = None,
) -> Probed:
    """Send all of a self-test, every form and not the best alone, and look for it, as ``probe`` does by DIMSE.

    What was stored is searched for until it is there or ``wait_seconds`` are over.
    """
    access = access_to(destination)
    with WebLine(lambda: False, destination, deadlines or deadlines_of(destination)) as line:
        caller = Caller(line, access)
        begun = time.perf_counter()
        rejection, seconds, answers = None, None, dict[str, Answer]()
        ended: Whole | None = None
        for one in self_test.instances:
            uid = one.sop_instance_uid
            if ended is None:
                whole, said = post(caller, destination.url, [one])
                seconds = seconds if seconds is not None else time.perf_counter() - begun
                if not said and whole.concerns is Concerns.DESTINATION:
                    ended = whole
                    rejection = rejection if answers else Rejection("not-answered", said=whole.note)
                answers[uid] = Answer(None, said.get(uid) or whole.outcome(uid))
            else:
                answers[uid] = Answer(None, ended.outcome(uid))
        there = [
            one for one in self_test.instances if answers[one.sop_instance_uid].outcome.verdict is Verdict.DELIVERED
        ]
        again = Again(Query.NOT_ASKED)
        if there:
            again = _searched(caller, destination.url, self_test.study_instance_uid, there, wait_seconds)
    return Probed(rejection, None if rejection else seconds, answers, again)


def _searched(
    caller: Caller, url: str, study_instance_uid: str, sent: Sequence[SelfTestInstance], wait_seconds: float
) -> Again:
    found = {one.sop_instance_uid: Found.NOT_FOUND for one in sent}
    deadline = time.monotonic() + wait_seconds
    try:
        while True:
            for one in sent:
                if found[one.sop_instance_uid] is not Found.FOUND:
                    found[one.sop_instance_uid] = look_up(caller, url, study_instance_uid, one)
            if Found.NOT_FOUND not in found.values() or time.monotonic() > deadline:
                return Again(Query.ANSWERED, found=found)
            time.sleep(PAUSE_SECONDS)
    except SearchFailed as failed:
        return Again(Query.FAILED, note=failed.note)
