"""`overread status` stays readable however much a sender got wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from overread.commands import status


class _Overview:
    """As many objects set aside as a sender can leave in a minute."""

    def __init__(self, quarantined: int) -> None:
        self._quarantined = quarantined

    def status(self) -> dict[str, Any]:
        things = [{"sop_instance_uid": f"1.2.{number}", "error": "Why."} for number in range(self._quarantined)]
        return {"studies": [], "jobs": [], "deliveries": [], "quarantined": things}


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
