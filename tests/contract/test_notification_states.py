"""The states of a notification and the meaning of answers exist twice: in the code and on their page."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from listener.notify.answers import HTTP_RULES
from listener.notify.fhir import FHIR_RULES
from listener.notify.mllp import RULES, Outcome
from listener.notify.settings import NotifySettings
from listener.notify.webhook import deadlines_of
from storage.domain.notification import TRANSITIONS, NotificationEvent, NotificationState
from storage.postgres.notification_rows import PATIENCE_SECONDS

_PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "notifications.md").read_text(encoding="utf-8")


def test_the_page_has_the_table_of_the_domain() -> None:
    """Each row of the page is a transition of the domain, and none is missing."""
    rows = re.findall(r"^\| ([\w-]+) \| ([\w-]+) \| ([\w-]+) \| .+ \|$", _PAGE, re.MULTILINE)

    assert {row for row in rows if row[0] not in ("from", "---")} == {
        (str(state), str(event), str(after)) for (state, event), after in TRANSITIONS.items()
    }


def test_every_event_can_happen() -> None:
    """No event is without a row, and every state but the first can be reached."""
    assert {event for _, event in TRANSITIONS} == set(NotificationEvent)
    assert set(TRANSITIONS.values()) | {NotificationState.HELD} == set(NotificationState)


def test_the_page_has_the_answers_over_the_web() -> None:
    """Each row of the page is a rule with its sentence, in their order."""
    rows = re.findall(r"^\| HTTP (\d+)(?: to (\d+))? \| ([\w-]+) \| (.+) \|$", _PAGE, re.MULTILINE)

    assert [(int(first), int(last or first), event, sentence) for first, last, event, sentence in rows] == [
        (rule.first, rule.last, str(rule.event), rule.sentence) for rule in HTTP_RULES
    ]


def test_the_page_has_the_acknowledgements_of_hl7() -> None:
    """Each outcome stands there with what becomes of the message, and every outcome has a rule."""
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z-]+) \| (.+) \|$", _PAGE, re.MULTILINE)

    assert set(RULES) == set(Outcome)
    assert rows == [(str(outcome), str(rule.event), rule.sentence) for outcome, rule in RULES.items()]


def test_the_page_has_the_answers_of_fhir() -> None:
    """Each row of the page is a rule with its sentence, in their order."""
    rows = re.findall(r"^\| FHIR (\d+)(?: to (\d+))? \| ([\w-]+) \| (.+) \|$", _PAGE, re.MULTILINE)

    assert [(int(first), int(last or first), event, sentence) for first, last, event, sentence in rows] == [
        (rule.first, rule.last, str(rule.event), rule.sentence) for rule in FHIR_RULES
    ]


def test_no_message_takes_longer_than_it_is_claimed_for() -> None:
    """With the longest deadlines that the settings take, nobody else takes a message that is still being sent: over
    the web, and over MLLP with a host of two addresses, a handshake, the message and its acknowledgement."""
    longest = NotifySettings(
        name="ris", kind="webhook", url="http://ris/", secret_file="s", connect_seconds=60, answer_seconds=180
    )

    assert deadlines_of(longest).total < PATIENCE_SECONDS
    assert 3 * longest.connect_seconds + 2 * longest.answer_seconds < PATIENCE_SECONDS
    for key, value in (("connect_seconds", 61), ("answer_seconds", 181)):
        with pytest.raises(ValidationError):
            NotifySettings(**longest.model_dump() | {key: value})
