"""Ask a destination for what it was just sent (C-FIND as SCU, PS3.4 section C.4.1), and how fast it answers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from listener.scu.association import Deadlines, Line, associate, release
from listener.scu.instance_query import STUDY_ROOT_FIND, Found, QueryRefused, look_for
from listener.scu.settings import DestinationSettings
from storage.domain.self_test import SelfTestInstance

_VERIFICATION = UID("1.2.840.10008.1.1")
PAUSE_SECONDS = 0.5  # between two rounds of questions: archives index what they took a little later


class Query(StrEnum):
    """Whether the destination could be asked for what it took."""

    ANSWERED = "answered"
    NOT_OFFERED = "not-offered"  # it accepts no C-FIND (Study Root) from us
    NO_ASSOCIATION = "no-association"  # there was no association for it
    FAILED = "failed"  # it accepted C-FIND and then refused or broke off
    NOT_ASKED = "not-asked"  # nothing was stored


@dataclass(frozen=True, slots=True)
class Again:
    """What came of asking; ``found`` by SOP Instance UID, ``status`` is that of a C-FIND that failed.

    ``note`` is the sentence of a search that failed.
    """

    query: Query
    echo_seconds: float | None = None
    status: int | None = None
    note: str = ""
    found: Mapping[str, Found] = field(default_factory=dict)


def find_again(
    ae_title: str,
    destination: DestinationSettings,
    study_instance_uid: str,
    sent: Sequence[SelfTestInstance],
    deadlines: Deadlines,
    wait_seconds: float,
) -> Again:
    """Look for each of these instances until all are there or ``wait_seconds`` are over.

    It has an association of its own, so that the one that stores is asked exactly what daily work asks it.
    """
    contexts = [
        build_context(_VERIFICATION, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]),
        build_context(STUDY_ROOT_FIND, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]),
    ]
    # A query has no end of its own while the destination goes on answering.
    with Line(lambda: False, replace(deadlines, total=wait_seconds + deadlines.answer)) as line:
        try:
            association = associate(ae_title, destination, contexts, line)
        except OSError:
            return Again(Query.NO_ASSOCIATION)
        if not association.is_established:
            # Where every context is refused there is no association either (PS3.8 section 7.1.1.14).
            offered = any(context.result == 0x00 for context in association.rejected_contexts)
            return Again(Query.NO_ASSOCIATION if offered or not association.rejected_contexts else Query.NOT_OFFERED)
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
        echo = _echo_seconds(association) if _VERIFICATION in accepted else None
        again = Again(Query.NOT_OFFERED, echo)
        if STUDY_ROOT_FIND in accepted:
            again = _asked(association, study_instance_uid, sent, wait_seconds, echo)
        if association.is_established:
            release(association, line)
        return again


def _echo_seconds(association: Association) -> float | None:
    """How long a C-ECHO takes there and back."""
    start = time.perf_counter()
    try:
        answer = association.send_c_echo()
    except (RuntimeError, ValueError):
        return None
    return time.perf_counter() - start if answer.get("Status") == 0x0000 else None


def _asked(
    association: Association,
    study_instance_uid: str,
    sent: Sequence[SelfTestInstance],
    wait_seconds: float,
    echo: float | None,
) -> Again:
    found = {one.sop_instance_uid: Found.NOT_FOUND for one in sent}
    deadline = time.monotonic() + wait_seconds
    try:
        while True:
            for one in sent:
                if found[one.sop_instance_uid] is not Found.FOUND:
                    found[one.sop_instance_uid] = look_for(association, study_instance_uid, one)
            if Found.NOT_FOUND not in found.values() or time.monotonic() > deadline:
                return Again(Query.ANSWERED, echo, found=found)
            time.sleep(PAUSE_SECONDS)
    except QueryRefused as refused:
        return Again(Query.FAILED, echo, refused.status)
