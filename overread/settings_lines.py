"""Where a key stands in the settings file: the parser of TOML forgets it, and an administrator needs it."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

Location = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\-\s]+?)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_\-]+(?:\s*\.\s*[A-Za-z0-9_\-]+)*)\s*=")


def line_of(text: str, location: Sequence[str | int]) -> int | None:
    """The line of the key at ``location``, or else of the innermost thing around it that has a line of its own."""
    lines: dict[Location, int] = {}
    for number, place in _places(text):
        lines.setdefault(place, number)
    for length in range(len(location), 0, -1):
        if (found := lines.get(tuple(location[:length]))) is not None:
            return found
    return None


def _places(text: str) -> Iterator[tuple[int, Location]]:
    """Every line that begins a section or a key, with its place; entries of a list of sections are counted from 0."""
    section: Location = ()
    entries: Counter[Location] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            section = _current(_parts(header[2]), entries)
            if header[1] == "[[":
                entries[section] += 1
                section = (*section, entries[section] - 1)
            yield number, section
        elif key := _KEY.match(line):
            yield number, (*section, *_parts(key[1]))


def _parts(dotted: str) -> list[str]:
    return [part.strip() for part in dotted.split(".")]


def _current(parts: Sequence[str], entries: Counter[Location]) -> Location:
    """A header's place: what it passes through on its way is the newest entry of a list."""
    place: Location = ()
    for part in parts[:-1]:
        place = (*place, part)
        if entries[place]:
            place = (*place, entries[place] - 1)
    return (*place, parts[-1])
