"""What an answer of a receiver over the web means for a message: delivered, tried again, or refused.

The table stands in ``docs/reference/notifications.md`` too; a test holds the two equal. Text that a receiver sends is
never repeated, because it may name a patient.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from listener.scu.verdict import NoAnswer
from listener.scu.web.answer import wait_seconds, without_reply
from listener.scu.web.line import NoReply, Reply
from storage.domain.notification import Answer, NotificationEvent

_DELIVER, _POSTPONE, _REFUSE = NotificationEvent.DELIVER, NotificationEvent.POSTPONE, NotificationEvent.REFUSE


class HttpRule(NamedTuple):
    """What every HTTP status from ``first`` to ``last`` means; ``away``: so it is for other messages, too."""

    first: int
    last: int
    event: NotificationEvent
    away: bool
    sentence: str


# The first row that holds the status decides.
HTTP_RULES: tuple[HttpRule, ...] = (
    HttpRule(200, 299, _DELIVER, False, "The receiver took it."),
    HttpRule(
        300,
        399,
        _POSTPONE,
        True,
        "The receiver redirects us (3xx), which is not followed; write the address where it leads as url of its "
        "[[notify]] entry.",
    ),
    HttpRule(
        401,
        401,
        _POSTPONE,
        True,
        "The receiver does not accept our credentials, or wants some (401); correct its [[notify]] entry.",
    ),
    HttpRule(403, 403, _POSTPONE, True, "The receiver does not allow us to tell it anything (403); allow it there."),
    HttpRule(
        404,
        405,
        _POSTPONE,
        True,
        "The receiver takes no messages at its url (404 or 405); correct url in its [[notify]] entry.",
    ),
    HttpRule(408, 408, _POSTPONE, False, "The receiver found that the message came too slowly (408)."),
    HttpRule(
        410,
        410,
        _REFUSE,
        False,
        "The receiver wants no messages any more (410); remove its [[notify]] entry, or ask whoever runs it.",
    ),
    HttpRule(425, 425, _POSTPONE, True, "The receiver asks to be told later (425)."),
    HttpRule(429, 429, _POSTPONE, True, "The receiver got too many messages (429); it is waited for as it asks."),
    HttpRule(
        400, 499, _REFUSE, False, "The receiver refused the message (4xx); look into its log, then have it sent again."
    ),
    HttpRule(503, 503, _POSTPONE, True, "The receiver is busy or down for now (503); it is waited for as it asks."),
    HttpRule(500, 599, _POSTPONE, True, "The receiver failed, or what stands before it did (5xx)."),
    HttpRule(
        0,
        999,
        _POSTPONE,
        True,
        "The receiver gave a status that HTTP does not define; check url in its [[notify]] entry.",
    ),
)


def of_reply(reply: Reply, rules: Sequence[HttpRule] = HTTP_RULES) -> Answer:
    """What an HTTP answer means; the first of the rules that holds its status decides."""
    rule = next(rule for rule in rules if rule.first <= reply.status <= rule.last)
    wait = wait_seconds(reply.retry_after, datetime.now(UTC)) if rule.event is _POSTPONE else 0.0
    return Answer(rule.event, f"http-{reply.status}", rule.sentence, rule.away, wait)


def of_silence(why: NoReply | NoAnswer) -> Answer:
    """What it means that there is no answer."""
    return Answer(_POSTPONE, str(why), of_receiver(without_reply(why).note), away=True)


def of_receiver(sentence: str) -> str:
    """A sentence on a destination, said of a receiver: what can go wrong between two machines is the same."""
    for ours, theirs in (
        ("[[destinations]]", "[[notify]]"),
        ("destination", "receiver"),
        ("; what was sent is sent again", "; the message is sent again"),
        ("the instance is sent again", "the message is sent again"),
    ):
        sentence = sentence.replace(ours, theirs)
    return sentence
