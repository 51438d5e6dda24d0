"""Which days the priors that an operator fetches are of."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import sentinel

import pytest

from listener.scu.query.prior_lane import PatientOfStudy
from overread.commands import fetch

_OF_STUDY = date(2026, 11, 20)


@pytest.mark.parametrize(
    ("asked", "until"),
    [
        ({"patient": "P1"}, datetime.now(UTC).astimezone().date() - timedelta(days=1)),
        ({"priors_of": "1.2.3"}, date(2026, 11, 19)),
        ({"priors_of": "1.2.3", "before": date(2026, 11, 1)}, date(2026, 10, 31)),
        ({"patient": "P1", "before": date(2026, 11, 1)}, date(2026, 10, 31)),
    ],
)
def test_priors_are_of_earlier_days(asked: dict[str, Any], until: date, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is examined on the same day may still come to be analysed, and as context it would not be."""
    nothing: dict[str, Any] = {"studies": (), "patient": None, "priors_of": None, "issuer": "", "modality": None}
    nothing |= {"body_part": None, "before": None, "within": None, "most": 5}
    monkeypatch.setattr(fetch, "patient_of", lambda *_: PatientOfStudy("P1", "", _OF_STUDY))

    assert fetch._priors_wanted(sentinel.database, fetch._Wanted(**nothing | asked)).until == until
