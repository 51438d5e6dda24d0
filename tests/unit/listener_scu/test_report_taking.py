"""Reports of storage commitment that wait are taken one after the other."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from listener.scu.proof.report_taking import ReportTaking
from listener.settings import ListenerSettings
from storage.domain.commitment import Believed
from storage.errors import DatabaseUnavailable, StorageError


class _Waiting:
    """Reports by number; those that were put away are gone."""

    def __init__(self, count: int) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        report = SimpleNamespace(calling_ae_title="PACS", remote_address="127.0.0.1", received_at=now)
        self.left = {str(number): report for number in range(count)}

    def waiting(self) -> Iterator[tuple[str, Any]]:
        """All of them."""
        return iter(list(self.left.items()))

    def forget(self, report_id: str) -> None:
        """Put one away."""
        del self.left[report_id]


def _taking(reports: _Waiting, *outcomes: Any) -> int:
    """Take all, where the database refuses or answers so; how many were tried."""
    tried = iter(outcomes)
    count = 0

    def take(_report: Any, *, title_is_listed: bool) -> Believed:
        nonlocal count
        count += 1
        outcome = next(tried)
        if isinstance(outcome, Exception):
            raise outcome
        assert not title_is_listed
        return outcome

    ReportTaking(reports, take, ListenerSettings()).take_all()  # type: ignore[arg-type]
    return count


def test_a_report_that_cannot_be_written_does_not_hold_up_the_next() -> None:
    """It is put away with a word in the log; its question is asked again when it is overdue."""
    reports = _Waiting(3)

    assert _taking(reports, Believed.TAKEN, StorageError(), Believed.TAKEN) == 3
    assert reports.left == {}


def test_reports_wait_while_the_database_is_away() -> None:
    """Nothing is put away that was not taken."""
    reports = _Waiting(3)

    assert _taking(reports, Believed.TAKEN, DatabaseUnavailable()) == 2
    assert list(reports.left) == ["1", "2"]
