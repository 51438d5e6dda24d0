"""What the makers of an algorithm say about it."""

from storage.domain.algorithm import RegisteredAlgorithm

_FILE_NAME = "card.md"
_LIMIT = 2**20


def card_text(algorithm: RegisteredAlgorithm) -> str:
    """The card of an installed algorithm; empty when its folder lacks one."""
    try:
        with (algorithm.folder / _FILE_NAME).open("rb") as card:
            return card.read(_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""
