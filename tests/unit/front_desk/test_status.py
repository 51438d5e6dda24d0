"""`overread status` stays readable however much a sender got wrong."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from overread.commands import status


class _Overview:
    """As many objects set aside as a sender can leave in a minute."""

    def __init__(self, quarantined: int, deliveries: Sequence[dict[str, Any]] = ()) -> None:
        self._quarantined = quarantined
        self._deliveries = deliveries

    def status(self) -> dict[str, Any]:
        things = [
            {
                "sop_instance_uid": f"1.2.{number}",
                "error": "Why.",
                "reason_code": f"code-{min(number, 11)}",
                "received_at": f"2026-01-01T00:{min(number, 59):02}:00+00:00",
            }
            for number in range(self._quarantined)
        ]
        return {"studies": [], "jobs": [], "deliveries": self._deliveries, "quarantined": things, "paused": []}


@pytest.mark.parametrize("beyond", [0, 1, 10_000])
def test_the_newest_are_shown_and_the_others_counted(
    beyond: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs an operator's eye is not pushed off the screen; nothing is left out in silence."""

    @contextmanager
    def overview(_settings: object) -> Iterator[_Overview]:
        yield _Overview(status._SHOWN + beyond)

    monkeypatch.setenv("OVERREAD_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(status, "with_overview", overview)

    shown = CliRunner().invoke(status.status, catch_exceptions=False).output

    assert shown.count("Set aside: ") == status._SHOWN
    assert f"Set aside: 1.2.{status._SHOWN + beyond - 1}: Why." in shown
    told = f"… and {beyond} older objects that were set aside; `overread status --json` has all of them."
    assert (told in shown) == (beyond > 0)


def test_what_was_not_needed_takes_one_line_for_each_destination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It pushes no delivery off the screen, and forms are named, because one role has many."""
    facts = {"destination": "slicer", "job_id": 1, "role": "report", "attempts": 0, "error": None}
    unneeded = [
        {**facts, "form": form, "state": "not-needed", "sop_instance_uid": f"1.2.{number}"}
        for number, form in enumerate(["enhanced", "basic-text"] * 1000)
    ]
    sent = {**facts, "form": "label-map", "state": "acknowledged", "sop_instance_uid": "1.3"}

    @contextmanager
    def overview(_settings: object) -> Iterator[_Overview]:
        yield _Overview(0, [sent, *unneeded])

    monkeypatch.setenv("OVERREAD_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(status, "with_overview", overview)

    shown = CliRunner().invoke(status.status, catch_exceptions=False).output

    assert "Not needed at slicer, or not shown there: enhanced (1000), basic-text (1000)." in shown
    assert "not-needed" not in shown
    assert "older deliveries" not in shown
    assert [line.split()[:3] for line in shown.splitlines() if line.rstrip().endswith("1.3")] == [
        ["slicer", "label-map", "acknowledged"]
    ]


def test_each_kind_of_open_trouble_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest come first, many of one kind take one line with their number, and few lines hold it all."""

    @contextmanager
    def overview(_settings: object) -> Iterator[_Overview]:
        yield _Overview(40)

    monkeypatch.setenv("OVERREAD_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(status, "with_overview", overview)

    shown = CliRunner().invoke(status.status, catch_exceptions=False).output

    trouble = [line.split() for line in shown.partition("Open trouble")[2].splitlines()[2:]]
    assert trouble[0] == ["29", "object", "set", "aside", "2026-01-01", "00:39:00Z", "Why."]
    assert [line[0] for line in trouble[1:-1]] == ["1"] * (status._KINDS_OF_TROUBLE - 1)
    assert " ".join(trouble[-1]).startswith("… and 4 kinds more; ")
