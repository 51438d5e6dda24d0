"""One receiver's lane: what it is to be told is noted, sent and settled; it waits for no other receiver."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from listener.notify.settings import NotifySettings
from listener.scu.threads import running
from storage.domain.notification import Answer, NotificationEvent, NotificationRequest
from storage.errors import DatabaseUnavailable
from storage.ports.notification import Notifications

_LOG = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_OUR_FAULT = Answer(
    NotificationEvent.POSTPONE,
    "not-made",
    "The message could not be made or sent for a fault of ours; look into the log of `overread deliver` and report it.",
)
_GRACE_SECONDS = 5.0


class MessageSender(Protocol):
    """One way to tell a receiver."""

    def body(self, request: NotificationRequest) -> bytes:
        """What is sent; made once, and the same from the same result and settings."""
        ...

    def send(self, request: NotificationRequest, body: bytes, stopped: Callable[[], bool]) -> Answer:
        """Send it and say what came of it; cut short when ``stopped`` says so."""
        ...


class NotifyLane:
    """The messages to one receiver, one after the other."""

    def __init__(
        self,
        notifications: Notifications,
        place: NotifySettings,
        sender: MessageSender,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        """``begin`` makes the receivers known, before the first message."""
        self._notifications = notifications
        self._place = place
        self._policy = place.policy()
        self._sender = sender
        self._begin = begin
        self._stop = threading.Event()
        self._away_because = ""

    def tell_once(self) -> bool:
        """Note what is new and send one message, if one is due; ``False`` when none was.

        Raises:
            DatabaseUnavailable: what was sent and not settled is sent again, with the same id and the same bytes.
        """
        self._begin()
        self._notifications.note(self._policy)
        request = self._notifications.claim(self._policy)
        if request is None:
            return False
        body = request.body
        try:
            if body is None:
                body = self._sender.body(request)
                if not self._notifications.freeze(request, body):
                    return True  # somebody else has it now
            answer = self._sender.send(request, body, self._stop.is_set)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  a message that nobody foresaw must not stay in hand for ever
            _LOG.error("a message to receiver %s could not be sent: %s", self._place.name, type(error).__name__)
            answer = _OUR_FAULT
        if self._stop.is_set() and answer.event is NotificationEvent.POSTPONE:
            self._notifications.give_back(request)
            return False
        self._notifications.settle(request, self._policy, answer)
        self._tell_operator(answer)
        return True

    def run(self) -> None:
        """Tell until ``stop``."""
        while not self._stop.is_set():
            try:
                told = self.tell_once()
            except DatabaseUnavailable:
                told = False
            except Exception as error:  # noqa: BLE001  the lane must outlive what nobody foresaw; it tries again
                _LOG.error("telling receiver %s failed with %s", self._place.name, type(error).__name__)
                told = False
            if not told:
                self._stop.wait(_PAUSE_SECONDS)

    def stop(self) -> None:
        """End after the message in hand, which is cut short."""
        self._stop.set()

    def _tell_operator(self, answer: Answer) -> None:
        """One line in the log when something changes, and one for each message that is refused."""
        if answer.event is NotificationEvent.REFUSE:
            _LOG.warning("receiver %s refused a message: %s", self._place.name, answer.sentence)
        away = answer.code if answer.away else ""
        if away and away != self._away_because:
            _LOG.warning("receiver %s is not told: %s", self._place.name, answer.sentence)
        elif self._away_because and not away:
            _LOG.info("receiver %s is told again", self._place.name)
        self._away_because = away


class _Beginning:
    """What is done once before the first message, by the first lane that finds the database there."""

    def __init__(self, notifications: Notifications, names: Sequence[str]) -> None:
        self._notifications = notifications
        self._names = names
        self._lock = threading.Lock()
        self._done = False

    def __call__(self) -> None:
        with self._lock:
            if not self._done:
                left = self._notifications.begin(self._names)
                self._done = True
                if left:
                    _LOG.warning(
                        "%d message(s) to receivers that no [[notify]] entry names any more are given up; "
                        "`overread notifications list` shows them",
                        left,
                    )


@contextmanager
def notifying(
    notifications: Notifications,
    receivers: Sequence[NotifySettings],
    sender_of: Callable[[NotifySettings], MessageSender],
) -> Iterator[None]:
    """Within the block every receiver is told, each in a thread of its own; what left the settings is given up."""
    begin = _Beginning(notifications, [place.name for place in receivers])
    if not receivers:
        with contextlib.suppress(DatabaseUnavailable):  # the next start does it
            begin()
    lanes = [NotifyLane(notifications, place, sender_of(place), begin) for place in receivers]
    with running(lanes, "notify", _GRACE_SECONDS):
        yield
