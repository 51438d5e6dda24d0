"""What the status of a C-FIND, C-MOVE or C-GET means (PS3.4 tables C.4-1 to C.4-3).

The conformance statement has the same table; a test holds them equal.
"""

from typing import NamedTuple

from storage.domain.job import Reason


class RetrieveRule(NamedTuple):
    """What every status from ``first`` to ``last`` means, as a stable code and one sentence for an operator."""

    first: int
    last: int
    code: str
    sentence: str


# The first row that holds the status decides; 0x0000 is success, 0xFF00 and 0xFF01 are pending.
RETRIEVE_RULES: tuple[RetrieveRule, ...] = (
    RetrieveRule(
        0xA701,
        0xA701,
        "archive-cannot-count",
        "The archive is out of resources and cannot count what matches (0xA701); ask again later.",
    ),
    RetrieveRule(
        0xA702,
        0xA702,
        "archive-cannot-send",
        "The archive could not perform its sub-operations (0xA702); check that it reaches our address and port, that "
        "`overread listen` runs and that its AE title is among [[listener.peers]].",
    ),
    RetrieveRule(
        0xA700, 0xA7FF, "archive-out-of-resources", "The archive is out of resources (0xA7xx); ask again later."
    ),
    RetrieveRule(
        0xA801,
        0xA801,
        "move-destination-unknown",
        "The archive does not know the AE title it should send to (0xA801); add received_as of its [[archives]] entry, "
        "or [listener] ae_title, there with our address and port.",
    ),
    RetrieveRule(
        0xA900,
        0xA9FF,
        "archive-cannot-read-query",
        "The archive says that the query does not match its SOP Class (0xA9xx); leave keys out, or ask its vendor why.",
    ),
    RetrieveRule(
        0xB000,
        0xB000,
        "archive-gave-less",
        "The archive could not give all of it (0xB000); look into its log, then run the command again.",
    ),
    RetrieveRule(
        0xC000,
        0xCFFF,
        "archive-failed",
        "The archive could not process what was asked (0xCxxx); look into its log, and for C-MOVE whether `overread "
        "listen` runs and it has our AE title, address and port.",
    ),
    RetrieveRule(
        0x0122, 0x0122, "archive-lacks-service", "The archive does not offer this service (0x0122); enable it there."
    ),
    RetrieveRule(
        0x0124, 0x0124, "archive-forbids", "The archive does not allow us to ask for this (0x0124); allow it there."
    ),
    RetrieveRule(
        0xFE00, 0xFE00, "archive-canceled", "The archive canceled what was asked for (0xFE00); ask again later."
    ),
    RetrieveRule(
        0x0000, 0xFFFF, "archive-refused", "The archive answered with a status that we do not know; look into its log."
    ),
)

PENDING = (0xFF00, 0xFF01)


def reason_of_status(status: int) -> Reason:
    """The code and the sentence of a status that is neither success nor pending."""
    rule = next(rule for rule in RETRIEVE_RULES if rule.first <= status <= rule.last)
    return Reason(rule.code, rule.sentence)
