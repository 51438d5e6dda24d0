"""What an answer of STOW-RS is taken for: by the tables, and nothing is stored that is not said to be."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from listener.scu.web.answer import FAILURE_RULES, HTTP_RULES, NO_REPLY_RULES, Concerns, http_rule, read_reply
from listener.scu.web.line import NoReply, Reply
from listener.scu.web.qido import SEARCH_RULES
from storage.domain.delivery import Verdict

PAGE = (Path(__file__).parents[3] / "docs" / "conformance-statement.md").read_text(encoding="utf-8")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of the conformance statement."""
    section = PAGE.split(f"# {heading}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def span(first: int, last: int, form: str) -> str:
    """One number, or from where to where."""
    return format(first, form) + (f" to {format(last, form)}" if last != first else "")


def test_every_rule_for_a_status_is_in_the_conformance_statement() -> None:
    """Statuses, what they concern, verdict and sentence of the literal table, in its order."""
    assert rows("Answers to STOW-RS") == [
        [span(rule.first, rule.last, "d"), rule.concerns, rule.verdict, rule.note] for rule in HTTP_RULES
    ]


def test_every_rule_for_a_failure_reason_is_in_the_conformance_statement() -> None:
    """Reasons, verdict and sentence of the literal table, in its order."""
    assert rows("Failure Reasons of destinations") == [
        [span(rule.first, rule.last, "#06X").replace("0X", "0x"), rule.verdict, rule.note] for rule in FAILURE_RULES
    ]


def test_every_want_of_an_answer_is_in_the_conformance_statement() -> None:
    """Each reason why there is no answer has a rule, and its row."""
    assert set(NO_REPLY_RULES) == set(NoReply)
    assert rows("No answer to STOW-RS") == [
        [why, rule.concerns, rule.verdict, rule.note] for why, rule in NO_REPLY_RULES.items()
    ]


def test_every_rule_for_a_search_is_in_the_conformance_statement() -> None:
    """Statuses and sentence of the literal table, in its order; each status has a row."""
    assert rows("Search over the web") == [[span(rule.first, rule.last, "d"), rule.note] for rule in SEARCH_RULES]
    assert SEARCH_RULES[-1][:2] == (0, 999)


def test_only_the_body_can_say_that_something_was_delivered() -> None:
    """No status alone is a delivery; what the policy parks is refused, and what it tries again is tried again."""
    assert Verdict.DELIVERED not in {rule.verdict for rule in HTTP_RULES} | {
        rule.verdict for rule in NO_REPLY_RULES.values()
    }
    for status in range(400, 500):
        again = http_rule(status).verdict is Verdict.TRY_AGAIN
        assert again == (status in (408, 425, 429)), status
    assert {http_rule(status).verdict for status in range(500, 600)} == {Verdict.TRY_AGAIN}


def item(uid: str, **numbers: Any) -> dict[str, Any]:
    """One item of a sequence of the answer."""
    tags = {"reason": "00081197", "warning": "00081196"}
    return {"00081155": {"vr": "UI", "Value": [uid]}} | {
        tags[name]: {"vr": "US", "Value": [number]} for name, number in numbers.items()
    }


def body(there: Any = (), away: Any = (), others: Any = ()) -> bytes:
    """An answer in DICOM JSON."""
    sequences = {"00081199": there, "00081198": away, "0008119A": others}
    return json.dumps({tag: {"vr": "SQ", "Value": list(items)} for tag, items in sequences.items() if items}).encode()


def verdicts(status: int, content: bytes, *sent: str) -> dict[str, tuple[str, int | None]]:
    """Verdict and status of each instance that the answer names."""
    said = read_reply(Reply(status, content), sent)[1]
    return {uid: (str(outcome.verdict), outcome.status) for uid, outcome in said.items()}


@pytest.mark.parametrize("status", [200, 202, 409])
def test_each_instance_is_judged_by_what_the_body_says_of_it(status: int) -> None:
    """Stored, stored with a warning, refused, to be tried again, and one that stands in both is not stored."""
    there = [item("1"), item("2", warning=0xB000), item("5"), item("9")]
    away = [item("3", reason=0xA900), item("4", reason=0xA700), item("5", reason=0x0122), item("6", reason=0xB00E)]

    assert verdicts(status, body(there, away), "1", "2", "3", "4", "5", "6", "7") == {
        "1": ("delivered", 0x0000),
        "2": ("delivered", 0xB000),
        "3": ("refused", 0xA900),
        "4": ("try-again", 0xA700),
        "5": ("refused", 0x0122),
        "6": ("delivered", 0xB00E),
    }


@pytest.mark.parametrize(
    ("status", "perhaps"), [(429, False), (425, False), (503, False), (507, False), (500, True), (502, True)]
)
def test_what_nobody_took_up_was_not_sent(status: int, perhaps: bool) -> None:
    """Of a server that is busy it is known that it has nothing; of one that failed it is not."""
    whole, _ = read_reply(Reply(status, b""), ["1"])

    assert whole.outcome("1").went_out is perhaps


def test_a_failure_without_a_reason_is_tried_again() -> None:
    """What has failed never counts as delivered, whatever stands in the place of the reason."""
    for reason in ("", "x", -1, 70000, None, 1.5, True, [], 0):
        assert verdicts(202, body(away=[item("1", reason=reason)]), "1")["1"][0] == "try-again", reason


def test_a_reason_may_be_written_as_text() -> None:
    """As some servers do."""
    assert verdicts(409, body(away=[item("1", reason="43264")]), "1") == {"1": ("refused", 0xA900)}


def test_the_reason_of_the_only_instance_may_stand_without_its_uid() -> None:
    """Other Failures Sequence (0008,119A) holds what the server could not name."""
    nameless = [{"00081197": {"vr": "US", "Value": [0xC000]}}]

    assert verdicts(409, body(others=nameless), "1") == {"1": ("refused", 0xC000)}
    assert verdicts(409, body(others=nameless), "1", "2") == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Welcome</html>",
        b'{"00081199"',
        b"[]",
        b"[{}, {}]",
        b"3",
        b"null",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"00081199": ' + b"9" * 10_000 + b"}",
    ],
)
def test_an_answer_that_cannot_be_read_delivers_nothing(content: bytes) -> None:
    """What greets us under another address answers 200, too: nothing more is sent there this time."""
    whole, said = read_reply(Reply(200, content), ["1"])

    assert said == {}
    assert (whole.concerns, whole.verdict) == (Concerns.DESTINATION, Verdict.TRY_AGAIN)
    assert whole.outcome("1").out_of_reach


@pytest.mark.parametrize(
    "content", [b"{}", b'{"00081199": 3}', b'{"00081199": {"Value": "x"}}', b'{"00081199": {"Value": [3, null, {}]}}']
)
def test_an_answer_that_names_nothing_delivers_nothing(content: bytes) -> None:
    """Its instances are sent again."""
    whole, said = read_reply(Reply(200, content), ["1"])

    assert said == {}
    assert (whole.concerns, whole.verdict) == (Concerns.INSTANCE, Verdict.TRY_AGAIN)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("-5", 0),
        ("1e3", 0),
        ("999999999999999999999999", 3600),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60),
        ("Fri, 02 Jan 2026 03:03:05 GMT", 0),
        ("Fri, 02 Jan 2099 03:03:05 GMT", 3600),
        ("Fri, 02 Jan 99999 03:03:05 GMT", 0),
        ("soon", 0),
        ("٣", 0),
    ],
)
def test_a_destination_is_left_alone_for_as_long_as_it_asks(text: str, seconds: float) -> None:
    """Retry-After in seconds or as a date; an hour at most, and nothing where it cannot be read."""
    whole, _ = read_reply(Reply(503, b"", retry_after=text), ["1"], NOW)

    assert whole.wait_seconds == whole.outcome("1").wait_seconds == seconds


def test_what_is_refused_waits_for_nothing() -> None:
    """Retry-After counts only where something is tried again."""
    assert read_reply(Reply(413, b"", retry_after="60"), ["1"], NOW)[0].wait_seconds == 0
