"""Every answer to C-STORE has one meaning."""

import pytest

from listener.scu.verdict import (
    STATUS_RULES,
    NoAnswer,
    outcome_of_status,
    outcome_without_answer,
    reject_reason,
    status_rule,
)
from storage.domain.delivery import Verdict

_NEVER_GOES = {NoAnswer.NOT_ACCEPTED, NoAnswer.TOO_LARGE, NoAnswer.TRANSFER_SYNTAX_NOT_SHOWN}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.DELIVERED),
        (0x0111, Verdict.DELIVERED),
        (0xB000, Verdict.DELIVERED),
        (0xB006, Verdict.DELIVERED),
        (0xB007, Verdict.DELIVERED),
        (0xB123, Verdict.DELIVERED),
        (0x0110, Verdict.TRY_AGAIN),
        (0x0124, Verdict.TRY_AGAIN),
        (0x0210, Verdict.TRY_AGAIN),
        (0xA700, Verdict.TRY_AGAIN),
        (0xA7FF, Verdict.TRY_AGAIN),
        (0x0001, Verdict.TRY_AGAIN),
        (0xA800, Verdict.TRY_AGAIN),
        (0xD000, Verdict.TRY_AGAIN),
        (0xFE00, Verdict.TRY_AGAIN),
        (0xFF00, Verdict.TRY_AGAIN),
        (0xFFFF, Verdict.TRY_AGAIN),
        (0x0117, Verdict.REFUSED),
        (0x0122, Verdict.REFUSED),
        (0x0211, Verdict.REFUSED),
        (0x0212, Verdict.REFUSED),
        (0xA900, Verdict.REFUSED),
        (0xA9FF, Verdict.REFUSED),
        (0xC000, Verdict.REFUSED),
        (0xC211, Verdict.REFUSED),
        (0xCFFF, Verdict.REFUSED),
    ],
)
def test_a_status_means_what_the_standard_says(status: int, verdict: Verdict) -> None:
    """Success, warnings and a duplicate are delivered; what may pass is tried again; the rest is refused for good."""
    outcome = outcome_of_status("1.2.3", status)

    assert outcome.verdict is verdict
    assert outcome.status == status
    assert outcome.sop_instance_uid == "1.2.3"


def test_every_status_has_a_rule() -> None:
    """No status a peer can send is left without a verdict, and only 0x0000, 0x0111 and Bxxx count as delivered."""
    delivered = {status for status in range(0x10000) if status_rule(status).verdict is Verdict.DELIVERED}

    assert delivered == {0x0000, 0x0111, *range(0xB000, 0xC000)}


def test_every_rule_can_apply() -> None:
    """No row of the table is hidden behind an earlier one."""
    assert {status_rule(status) for status in range(0x10000)} == set(STATUS_RULES)


@pytest.mark.parametrize("why", NoAnswer)
def test_silence_is_never_a_delivery(why: NoAnswer) -> None:
    """Without a status nothing is delivered, and only what can never be sent as it is refused for good."""
    outcome = outcome_without_answer("1.2.3", why)

    assert outcome.status is None
    expected = Verdict.REFUSED if why in _NEVER_GOES else Verdict.TRY_AGAIN
    assert outcome.verdict is expected


@pytest.mark.parametrize("note", [rule.note for rule in STATUS_RULES])
def test_a_note_is_one_sentence(note: str) -> None:
    """An operator reads exactly one sentence."""
    assert note.endswith(".")
    assert note.count(". ") == 0


@pytest.mark.parametrize(
    ("rejection", "why"),
    [
        ((1, 1, 1), NoAnswer.REJECTED),
        ((1, 1, 2), NoAnswer.REJECTED),
        ((1, 1, 3), NoAnswer.CALLING_AE_TITLE_UNKNOWN),
        ((1, 1, 7), NoAnswer.CALLED_AE_TITLE_UNKNOWN),
        ((1, 2, 2), NoAnswer.REJECTED),
        ((2, 1, 1), NoAnswer.REJECTED_FOR_NOW),
        ((2, 3, 1), NoAnswer.REJECTED_FOR_NOW),
        ((2, 3, 2), NoAnswer.REJECTED_FOR_NOW),
    ],
)
def test_a_rejection_says_what_to_do(rejection: tuple[int, int, int], why: NoAnswer) -> None:
    """Result, source and diagnostic of an A-ASSOCIATE-RJ lead to the sentence that helps."""
    assert reject_reason(*rejection) is why
