"""What the makers of an algorithm say about it."""

from storage.domain.algorithm import RegisteredAlgorithm
from storage.domain.plain_file import open_plain

_FILE_NAME = "card.md"
_LIMIT = 2**20


def card_text(algorithm: RegisteredAlgorithm) -> str:
    """The card of an installed algorithm; empty when its folder lacks one."""
    try:
        with open_plain(algorithm.folder / _FILE_NAME) as card:
            return card.read(_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""
