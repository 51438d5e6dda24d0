"""One network where it runs: in this process or at a server."""

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray


class Runner(Protocol):
    """Arrays in, arrays out; ``provider`` is where it really runs, ``outdated`` that it is not what it was there."""

    provider: str
    outdated: bool

    def run(self, entry: str, batch: NDArray[Any], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """The outputs of these names for a batch, each in an array of its own.

        Raises:
            PredictionFailed: the runtime could not do it.
        """
        ...
