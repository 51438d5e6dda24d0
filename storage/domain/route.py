"""What becomes of a study by the name under which we were called when it came."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """A called AE title, the algorithms that look at what comes under it, and the destinations of their results.

    An empty set stands for all.
    """

    called_ae_title: str
    algorithms: frozenset[str] = frozenset()
    destinations: frozenset[str] = frozenset()


class Routes:
    """Every route; a title without one, or none (the web has no titles), leads to everything."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._routes = {route.called_ae_title.strip(" "): route for route in routes}

    def algorithms(self, called_ae_titles: Iterable[str]) -> frozenset[str] | None:
        """The names of the algorithms for a study that came under these titles; ``None`` for every active one."""
        return _together([self._of(title).algorithms for title in called_ae_titles])

    def destinations(self, called_ae_titles: Iterable[str], configured: Sequence[str]) -> list[str]:
        """Those of the configured destinations that results of such a study go to."""
        names = _together([self._of(title).destinations for title in called_ae_titles])
        return [name for name in configured if names is None or name in names]

    def _of(self, title: str) -> Route:
        return self._routes.get(title.strip(" "), Route(title))


def _together(parts: Sequence[frozenset[str]]) -> frozenset[str] | None:
    return frozenset().union(*parts) if parts and all(parts) else None
