"""Which sender serves a destination, by its kind."""

from collections.abc import Callable, Mapping

from listener.scu.delivery_worker import Sender
from listener.scu.store import StoreScu
from listener.settings import DestinationSettings
from storage.domain.viewer_profile import ViewerProfile

# By `kind` of [[destinations]]; each is given our AE title and all viewer profiles that a destination may name.
_SENDERS: Mapping[str, Callable[[str, Mapping[str, ViewerProfile]], Sender]] = {
    "dimse": lambda ae_title, profiles: StoreScu(ae_title, profiles=profiles),
}


def sender_for(destination: DestinationSettings, ae_title: str, profiles: Mapping[str, ViewerProfile]) -> Sender:
    """A sender of its own for this destination."""
    return _SENDERS[destination.kind](ae_title, profiles)
