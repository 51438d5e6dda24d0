"""A Dockerfile read line by line, as far as ours go: one instruction a line (or continued), programs in JSON form."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """One FROM and what follows it."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        """The arguments of each instruction with this keyword."""
        return [argument for found, argument in self.instructions if found == keyword]

    def last(self, keyword: str) -> str:
        """The argument of the last instruction with this keyword."""
        return self.all(keyword)[-1]

    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        return {key: value for line in self.all("ENV") for key, value in _pairs(line)}

    def labels(self) -> dict[str, str]:
        """What LABEL says."""
        return {key: value for line in self.all("LABEL") for key, value in _pairs(line)}

    def health_check(self) -> list[str]:
        """The program that HEALTHCHECK runs."""
        command: list[str] = json.loads(self.last("HEALTHCHECK").partition(" CMD ")[2])
        return command


def stages(path: Path, arguments: dict[str, str] | None = None) -> list[Stage]:
    """The stages of a Dockerfile, with its ARGs replaced by their defaults or by ``arguments``."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found: list[Stage] = []
    known: dict[str, str] = {}
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        keyword, _, argument = line.partition(" ")
        if keyword == "FROM":
            base, _, name = argument.partition(" AS ")
            found.append(Stage(base, name))
        elif keyword == "ARG":
            key, _, default = argument.partition("=")
            known[key] = (arguments or {}).get(key, default)
        elif keyword:
            for key, value in known.items():
                argument = argument.replace(f"${{{key}}}", value)
            found[-1].instructions.append((keyword, argument))
    return found


def _pairs(line: str) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (word.partition("=") for word in shlex.split(line))]
