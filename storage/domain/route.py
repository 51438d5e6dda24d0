"""What becomes of a study by the name under which we were called when it came, and by who called."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from storage.domain.identifiers import same_ae_title
from storage.domain.job import PRIORITY_RANK, Priority

ANY_SENDER = "*"


@dataclass(frozen=True, slots=True)
class Way:
    """One way by which a study came: the name we were called by, and who called from where.

    Both titles are empty for the web, which has none.
    """

    called_ae_title: str = ""
    calling_ae_title: str = ""
    remote_address: str = ""


@dataclass(frozen=True, slots=True)
class Urgency:
    """How urgent the work on a study is, and who says so in one sentence; empty where nobody does."""

    priority: Priority = Priority.ROUTINE
    because: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A called AE title, the algorithms that look at what comes under it, and the destinations of their results.

    An empty set stands for all; ``priority`` is ``None`` where the route says nothing of it.
    """

    called_ae_title: str
    algorithms: frozenset[str] = frozenset()
    destinations: frozenset[str] = frozenset()
    priority: Priority | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """A peer whose studies have a priority; the title is believed only from its networks, "*" stands for any title."""

    ae_title: str
    networks: tuple[IPv4Network | IPv6Network, ...]
    priority: Priority


class Routes:
    """Every route; a title without one, or none (the web has no titles), leads to everything."""

    def __init__(self, routes: Iterable[Route] = (), senders: Iterable[Sender] = ()) -> None:
        self._routes = {route.called_ae_title.strip(" "): route for route in routes}
        self._senders = tuple(senders)

    def algorithms(self, ways: Iterable[Way]) -> frozenset[str] | None:
        """The names of the algorithms for a study that came these ways; ``None`` for every active one."""
        return _together([self._of(way).algorithms for way in ways])

    def destinations(self, ways: Iterable[Way], configured: Sequence[str]) -> list[str]:
        """Those of the configured destinations that results of such a study go to."""
        names = _together([self._of(way).destinations for way in ways])
        return [name for name in configured if names is None or name in names]

    def urgency(self, ways: Iterable[Way]) -> Urgency:
        """How urgent such a study is: the most urgent word counts, and what came without one is routine.

        So it is below routine only if each way by which it came says that.
        """
        return min((self._urgency_of(way) for way in ways), key=_order, default=Urgency())

    def _urgency_of(self, way: Way) -> Urgency:
        words: list[Urgency] = []
        route = self._of(way)
        if route.priority is not None:
            why = f"[[listener.routes]] gives it to what comes under {route.called_ae_title.strip(' ')}."
            words.append(Urgency(route.priority, why))
        for sender in self._senders_of(way):
            why = f"[[listener.peers]] gives it to what {way.calling_ae_title.strip(' ')} sends."
            words.append(Urgency(sender.priority, why))
        return min(words, key=_order, default=Urgency())

    def _senders_of(self, way: Way) -> list[Sender]:
        """The entries of this title and address; one with the title goes before one for any."""
        if not way.calling_ae_title:
            return []
        here = [sender for sender in self._senders if _is_in(way.remote_address, sender.networks)]
        named = [sender for sender in here if same_ae_title(sender.ae_title, way.calling_ae_title)]
        return named or [sender for sender in here if sender.ae_title == ANY_SENDER]

    def _of(self, way: Way) -> Route:
        return self._routes.get(way.called_ae_title.strip(" "), Route(way.called_ae_title))


def _order(urgency: Urgency) -> tuple[int, bool, str]:
    """Most urgent first; of the same, one that says why, and always the same one."""
    return PRIORITY_RANK[urgency.priority], not urgency.because, urgency.because


@lru_cache(maxsize=1024)
def _is_in(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        known = ip_address(address)
    except ValueError:
        return False
    if isinstance(known, IPv6Address) and known.ipv4_mapped is not None:
        known = known.ipv4_mapped  # a dual-stack socket shows IPv4 peers so
    return any(known in network for network in networks)


def _together(parts: Sequence[frozenset[str]]) -> frozenset[str] | None:
    return frozenset().union(*parts) if parts and all(parts) else None
