"""What becomes of a study: by the name under which we were called, by who called, and by what its series say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from storage.domain.identifiers import same_ae_title
from storage.domain.job import PRIORITY_RANK, Priority
from storage.domain.prior_request import PriorsRule

ANY_SENDER = "*"


class RuleAttribute(StrEnum):
    """What a rule may look at; but for who sent it they are attributes of a series, in the Standard's words."""

    CALLING_AE_TITLE = "calling_ae_title"
    ACCOUNT = "account"
    MODALITY = "modality"
    BODY_PART_EXAMINED = "body_part_examined"
    SERIES_DESCRIPTION = "series_description"
    STUDY_DESCRIPTION = "study_description"
    PROTOCOL_NAME = "protocol_name"
    REQUESTED_PROCEDURE_DESCRIPTION = "requested_procedure_description"
    REQUESTED_PROCEDURE_PRIORITY = "requested_procedure_priority"
    INSTITUTION_NAME = "institution_name"
    INSTITUTIONAL_DEPARTMENT_NAME = "institutional_department_name"
    STATION_NAME = "station_name"
    MANUFACTURER = "manufacturer"
    MANUFACTURER_MODEL_NAME = "manufacturer_model_name"


@dataclass(frozen=True, slots=True)
class Way:
    """One way by which a study came: the name we were called by, who called from where, and with what series.

    Both titles are empty for the web, which has accounts instead. ``series`` holds what one series says, by the names
    of ``RuleAttribute``; what it does not say may be left out.
    """

    called_ae_title: str = ""
    calling_ae_title: str = ""
    remote_address: str = ""
    account: str = ""
    series: Mapping[str, str] = field(default_factory=dict)

    def value(self, attribute: RuleAttribute) -> str:
        """What a rule compares; empty where it is not said."""
        if attribute is RuleAttribute.CALLING_AE_TITLE:
            return self.calling_ae_title.strip(" ")
        if attribute is RuleAttribute.ACCOUNT:
            return self.account
        return self.series.get(attribute, "")


@dataclass(frozen=True, slots=True)
class Urgency:
    """How urgent the work on a study is, and who says so in one sentence; empty where nobody does."""

    priority: Priority = Priority.ROUTINE
    because: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """An attribute, and the patterns of which one has to match the whole of it.

    ``*`` stands for any text and ``?`` for one character; letters are compared without regard to case.
    """

    attribute: RuleAttribute
    matches: tuple[str, ...]

    def holds(self, way: Way) -> bool:
        """Whether a series that came this way has such a value."""
        value = way.value(self.attribute).casefold()
        return any(fnmatchcase(value, pattern.casefold().replace("[", "[[]")) for pattern in self.matches)

    def __str__(self) -> str:
        """In the words of an administrator."""
        return f"{self.attribute} is {' or '.join(self.matches)}"


@dataclass(frozen=True, slots=True)
class Route:
    """A called AE title, the algorithms that look at what comes under it, and the destinations of their results.

    An empty title stands for the web, an empty set for all, ``None`` for no word on the priority. It holds for a study
    of which one series meets all its rules.
    """

    called_ae_title: str
    algorithms: frozenset[str] = frozenset()
    destinations: frozenset[str] = frozenset()
    priority: Priority | None = None
    rules: tuple[Rule, ...] = ()
    priors: PriorsRule | None = None

    def holds(self, ways: Iterable[Way]) -> bool:
        """Whether it is for a study that came these ways under its title."""
        return any(all(rule.holds(way) for rule in self.rules) for way in ways)


@dataclass(frozen=True, slots=True)
class Sender:
    """A peer whose studies have a priority; the title is believed only from its networks, "*" stands for any title."""

    ae_title: str
    networks: tuple[IPv4Network | IPv6Network, ...]
    priority: Priority


@dataclass(frozen=True, slots=True)
class Choice:
    """The route of what came under one title, and which entry it was and why in one sentence."""

    called_ae_title: str
    route: Route
    sentence: str = ""


class Routes:
    """Every route in its order; a title, or the web, without one leads to everything.

    Of several routes of one title the first that holds counts; where none does, the title leads to everything.
    """

    def __init__(self, routes: Iterable[Route] = (), senders: Iterable[Sender] = ()) -> None:
        self._routes = tuple(enumerate(routes, start=1))
        self._senders = tuple(senders)

    def choices(self, ways: Iterable[Way]) -> list[Choice]:
        """The route of each title under which a study came; without a sentence where there was nothing to choose."""
        titles: dict[str, list[Way]] = {}
        for way in ways:
            titles.setdefault(way.called_ae_title.strip(" "), []).append(way)
        return [self._choice(title, titles[title]) for title in sorted(titles)]

    def algorithms(self, ways: Iterable[Way]) -> frozenset[str] | None:
        """The names of the algorithms for a study that came these ways; ``None`` for every active one."""
        return _together([choice.route.algorithms for choice in self.choices(ways)])

    def destinations(self, ways: Iterable[Way], configured: Sequence[str]) -> list[str]:
        """Those of the configured destinations that results of such a study go to."""
        names = _together([choice.route.destinations for choice in self.choices(ways)])
        return [name for name in configured if names is None or name in names]

    def priors(self, ways: Iterable[Way]) -> list[PriorsRule]:
        """The priors that the routes of such a study ask for."""
        wanted = (choice.route.priors for choice in self.choices(ways))
        return list(dict.fromkeys(rule for rule in wanted if rule is not None))

    def urgency(self, ways: Sequence[Way]) -> Urgency:
        """How urgent such a study is: the most urgent word counts, and what came without one is routine.

        So it is below routine only if each way by which it came says that. A series has a word only where it says
        STAT.
        """
        routes = {choice.called_ae_title: choice.route for choice in self.choices(ways)}
        said = (self._urgency_of(way, routes[way.called_ae_title.strip(" ")]) for way in ways)
        return min(said, key=_order, default=Urgency())

    def _choice(self, title: str, ways: list[Way]) -> Choice:
        own = [(number, route) for number, route in self._routes if same_ae_title(route.called_ae_title, title)]
        for number, route in own:
            if route.holds(ways):
                return Choice(title, route, _told(title, number, route))
        nowhere = f"{_came(title)} meets the rules of none of its [[listener.routes]], so it goes everywhere."
        return Choice(title, Route(title), nowhere if own else "")

    def _urgency_of(self, way: Way, route: Route) -> Urgency:
        words: list[Urgency] = []
        if route.priority is not None:
            title = route.called_ae_title.strip(" ")
            why = f"[[listener.routes]] gives it to what comes {f'under {title}' if title else 'over the web'}."
            words.append(Urgency(route.priority, why))
        for sender in self._senders_of(way):
            why = f"[[listener.peers]] gives it to what {way.calling_ae_title.strip(' ')} sends."
            words.append(Urgency(sender.priority, why))
        if way.value(RuleAttribute.REQUESTED_PROCEDURE_PRIORITY).upper() == "STAT":
            words.append(Urgency(Priority.STAT, "Its images say so (Requested Procedure Priority (0040,1003))."))
        return min(words, key=_order, default=Urgency())

    def _senders_of(self, way: Way) -> list[Sender]:
        """The entries of this title and address; one with the title goes before one for any."""
        if not way.calling_ae_title:
            return []
        here = [sender for sender in self._senders if _is_in(way.remote_address, sender.networks)]
        named = [sender for sender in here if same_ae_title(sender.ae_title, way.calling_ae_title)]
        return named or [sender for sender in here if sender.ae_title == ANY_SENDER]


def _came(title: str) -> str:
    return f"What came under {title}" if title else "What came over the web"


def _told(title: str, number: int, route: Route) -> str:
    """Which entry was chosen, by which rules and to what; the rules are told as they are written, not what they met."""
    why = f", because {' and '.join(map(str, route.rules))}" if route.rules else ""
    to = [
        f"to the {name} {', '.join(sorted(names))} only"
        for name, names in (("algorithms", route.algorithms), ("destinations", route.destinations))
        if names
    ]
    where = f": {' and '.join(to)}" if to else ""
    return f"{_came(title)} goes by entry {number} of [[listener.routes]]{why}{where}."


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
