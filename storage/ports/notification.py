"""Notifications: who is to be told of which result now, and what came of it."""

from collections.abc import Sequence
from typing import Protocol

from storage.domain.notification import Answer, NotificationRequest, ReceiverPolicy


class Notifications(Protocol):
    """The messages that are owed to receivers; every answer is fenced by its claim and audited."""

    def begin(self, receivers: Sequence[str]) -> int:
        """These receivers are configured, and no others; return how many messages are given up with those that left.

        A receiver that is new, or back, is told of what is stored from now on.

        Raises:
            DatabaseUnavailable: nothing was changed.
        """
        ...

    def note(self, receiver: ReceiverPolicy) -> int:
        """Owe the receiver a message for each new result that it is to be told of; how many.

        Raises:
            DatabaseUnavailable: nothing was changed.
        """
        ...

    def claim(self, receiver: ReceiverPolicy) -> NotificationRequest | None:
        """Take the message that is due longest; ``None`` where none is, or the receiver is left alone for now.

        Raises:
            DatabaseUnavailable: nothing was changed.
        """
        ...

    def freeze(self, request: NotificationRequest, body: bytes) -> bool:
        """Keep what is sent, so that each later try repeats it; whether the message is still ours.

        Raises:
            DatabaseUnavailable: nothing was changed.
        """
        ...

    def settle(self, request: NotificationRequest, receiver: ReceiverPolicy, answer: Answer) -> None:
        """Write what the receiver answered; nothing where somebody else has taken the message since.

        Raises:
            DatabaseUnavailable: nothing was changed, and the message is sent again.
        """
        ...

    def give_back(self, request: NotificationRequest) -> None:
        """The message was not sent, because we end; whoever comes next sends it at once.

        Raises:
            DatabaseUnavailable: it is taken up again a few minutes later.
        """
        ...
