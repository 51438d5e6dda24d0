"""What serves a destination, by its kind: who sends to it, and who tries whether it is there."""

from collections.abc import Callable, Mapping

from listener.scu.delivery_worker import Sender
from listener.scu.echo import ECHO_SECONDS, echo
from listener.scu.store import StoreScu
from listener.scu.verdict import NoAnswer
from listener.scu.web.stow import StowSender
from listener.settings import DestinationSettings
from storage.domain.viewer_profile import ViewerProfile

# By `kind` of [[destinations]]; each is given our AE title and all viewer profiles that a destination may name.
_SENDERS: Mapping[str, Callable[[str, Mapping[str, ViewerProfile]], Sender]] = {
    "dimse": lambda ae_title, profiles: StoreScu(ae_title, profiles=profiles),
    "stow": lambda _, profiles: StowSender(profiles=profiles),
}

# By the same word; of a kind without one a pause ends by itself, and the next delivery tries it.
_Ask = Callable[[str, DestinationSettings, Callable[[], bool]], NoAnswer | None]
_PROBES: Mapping[str, _Ask] = {
    "dimse": echo,
}
PROBE_SECONDS = ECHO_SECONDS  # no probe takes longer


def sender_for(destination: DestinationSettings, ae_title: str, profiles: Mapping[str, ViewerProfile]) -> Sender:
    """A sender of its own for this destination."""
    return _SENDERS[destination.kind](ae_title, profiles)


def probe_of(
    destination: DestinationSettings, ae_title: str, stopped: Callable[[], bool]
) -> Callable[[], NoAnswer | None]:
    """Ask this destination whether it is there: ``None`` when it is; ends early once ``stopped`` says so."""
    ask = _PROBES.get(destination.kind)
    return lambda: ask(ae_title, destination, stopped) if ask else None
