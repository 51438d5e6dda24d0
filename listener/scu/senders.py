"""What serves a destination, by its kind: who sends to it, and who tries whether it is there."""

from collections.abc import Callable, Mapping
from functools import partial

from listener.scu.delivery_worker import Sender
from listener.scu.echo import echo, echo_seconds
from listener.scu.pace import Pace
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from listener.scu.verdict import NoAnswer
from listener.scu.web.probe import knock
from listener.scu.web.stow import StowSender
from storage.domain.viewer_profile import ViewerProfile

# By `kind` of [[destinations]]; each is given our AE title, all viewer profiles that a destination may name, and how
# fast it may send.
_SENDERS: Mapping[str, Callable[[str, Mapping[str, ViewerProfile], Pace], Sender]] = {
    "dimse": lambda ae_title, profiles, pace: StoreScu(ae_title, profiles=profiles, pace=pace, keeps=True),
    "stow": lambda _, profiles, pace: StowSender(profiles=profiles, pace=pace),
}

# By the same word.
_Ask = Callable[[str, DestinationSettings, Callable[[], bool]], NoAnswer | None]
_PROBES: Mapping[str, _Ask] = {
    "dimse": echo,
    "stow": knock,
}


def sender_for(
    destination: DestinationSettings, ae_title: str, profiles: Mapping[str, ViewerProfile], pace: Pace
) -> Sender:
    """A sender of its own for this destination, which keeps the ``pace`` of all that send there."""
    return _SENDERS[destination.kind](ae_title, profiles, pace)


def probe_seconds(destination: DestinationSettings) -> float:
    """No probe of this destination takes longer."""
    return echo_seconds(destination)


def probe_of(
    destination: DestinationSettings, ae_title: str, stopped: Callable[[], bool]
) -> Callable[[], NoAnswer | None]:
    """Ask this destination whether it is there: ``None`` when it is; ends early once ``stopped`` says so."""
    return partial(_PROBES[destination.kind], ae_title, destination, stopped)
