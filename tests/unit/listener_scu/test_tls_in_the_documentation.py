"""Every way in which TLS to a destination fails stands on the page of delivery lanes, with its sentence."""

from pathlib import Path

from listener.scu.tls import _ALERTS, _VERIFICATION
from listener.scu.verdict import NoAnswer, no_answer_note, outcome_without_answer

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "delivery-lanes.md").read_text(encoding="utf-8")
OF_TLS = [why for why in NoAnswer if "tls" in why or "certificate" in why]


def test_every_outcome_of_tls_is_on_the_page() -> None:
    """The table has a row for each, with the sentence that operators read."""
    rows = [line for line in PAGE.splitlines() if line.startswith(tuple(f"| `{why}` |" for why in OF_TLS))]

    assert rows == [f"| `{why}` | {no_answer_note(why)} |" for why in OF_TLS]
    assert {*_ALERTS.values(), *_VERIFICATION.values()} <= {*OF_TLS}


def test_every_outcome_of_tls_pauses_the_lane() -> None:
    """No other object would fare better."""
    assert [why for why in OF_TLS if not outcome_without_answer("1.2", why).out_of_reach] == []
