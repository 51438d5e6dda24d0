"""What the operations with a small data set have in common: they gather it whole, and keep it before they answer."""

from listener.scp.command_set import Command
from listener.scp.limits import SMALL_DATA_SET
from listener.scp.negotiation import AcceptedContext
from storage.domain.association import Association


class SmallDataSet:
    """A request whose data set is read once it is whole; what is larger than ``limit`` ends the association."""

    limit = SMALL_DATA_SET

    def __init__(self, context: AcceptedContext, command: Command, association: Association) -> None:
        self.context = context
        self._command = command
        self._association = association
        self._data_set = bytearray()

    def add(self, piece: memoryview) -> None:
        """Take the next bytes; they are few."""
        self._data_set += piece

    def spill(self) -> None:
        """Nothing was taken by reference."""

    def discard(self) -> None:
        """Nothing was kept."""
