"""Whether a destination answers at all (C-ECHO as SCU, PS3.4 annex A)."""

from collections.abc import Callable
from dataclasses import replace

from pynetdicom.presentation import build_context

from listener.scu.association import Deadlines, Line, associate, release, why_not_established
from listener.scu.settings import DestinationSettings
from listener.scu.verdict import NoAnswer

VERIFICATION = "1.2.840.10008.1.1"
_DEADLINES = Deadlines(answer=30.0, total=60.0)


def echo_seconds(destination: DestinationSettings) -> float:
    """No question to it takes longer."""
    return destination.connect_seconds + _DEADLINES.total


def echo(
    ae_title: str, destination: DestinationSettings, stopped: Callable[[], bool] = lambda: False
) -> NoAnswer | None:
    """Ask it; ``None`` when it answered, with whatever status.

    An archive that does not accept Verification has answered, too: it is there.
    """
    with Line(stopped, replace(_DEADLINES, connect=destination.connect_seconds)) as line:
        try:
            association = associate(ae_title, destination, [build_context(VERIFICATION)], line)
        except OSError:  # the name of the host could not be resolved
            return NoAnswer.UNKNOWN_HOST
        if not association.is_established:
            why = why_not_established(association, line)
            return None if why is NoAnswer.NOT_ACCEPTED else why
        try:
            status = association.send_c_echo()
        except RuntimeError:  # the association is no longer established
            return line.why_no_answer()
        if "Status" not in status:
            association.abort()
            return line.why_no_answer()
        release(association, line)
        return None
