"""What is tried again is one table: in code, in the page on jobs, and in what the worker does."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inference import worker as worker_module
from inference.conclusion import GiveUp, TryLater
from inference.errors import (
    DeviceFull,
    InferenceError,
    ModelChildLost,
    OutOfMemory,
    UnforeseenError,
    UnusableInput,
)
from inference.evidence.not_analysed_reasons import REASONS
from inference.retries import FAILURES, WAITS, Again, FaultClass
from inference.worker import Worker
from storage.domain.job import ClaimedJob, JobKind, Reason

_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "job-lifecycle.md"
_ROW = re.compile(r"^\| `([a-z-]+)` \| (\w+) \| ([a-z ]+) \| \S.* \|$", re.MULTILINE)
_JOB = ClaimedJob(1, JobKind.INFERENCE, "1.2.3.4", 1, "t", 1, 99, datetime.now(UTC))  # type: ignore[arg-type]


class _Own(InferenceError):
    """A failure that has no code of its own."""


_RAISED: dict[str, Exception] = {
    **{code: kind("said") for kind, code in worker_module._CODES.items()},
    "inference-failed": _Own(),
    "internal-error": UnforeseenError("KeyError", "nowhere"),
    "storage-unavailable": OSError(5, "said"),
    "out-of-memory": OutOfMemory(),
    "device-full": DeviceFull(),
    "model-child-died": ModelChildLost(Reason("model-child-died", "said")),
    "analysis-too-slow": ModelChildLost(Reason("analysis-too-slow", "said")),
}


def test_the_page_has_the_table() -> None:
    """Code, class and when it is tried again are those of the page, row by row."""
    rows = {code: (fault, again) for code, fault, again in _ROW.findall(_PAGE.read_text(encoding="utf-8"))}

    assert rows == {code: (str(kind.fault), str(kind.again)) for code, kind in FAILURES.items()}


@pytest.mark.parametrize("code", [code for code in FAILURES if code != "worker-stopped"])
def test_the_worker_does_what_the_table_says(code: str) -> None:
    """What the analysis raises has the code, and is put back or given up as its row says; see the waits below."""

    def fail(_: ClaimedJob) -> None:
        raise _RAISED[code]

    worker = Worker(None, "w", {JobKind.INFERENCE: fail}, [], 30)  # type: ignore[arg-type, dict-item]
    concluded = worker._conclude(_JOB)

    again = FAILURES[code].again
    assert isinstance(concluded, GiveUp if again is Again.NEVER else TryLater)
    assert concluded.reason.code == code
    if isinstance(concluded, TryLater):
        assert WAITS[again][0] / 2 <= concluded.delay <= WAITS[again][0]
        assert concluded.child_died is (again is Again.ONCE)


@pytest.mark.parametrize("code", [code for code, kind in FAILURES.items() if kind.again is Again.ONCE])
def test_what_ended_two_processes_is_given_up(code: str) -> None:
    """Once is once."""

    def fail(_: ClaimedJob) -> None:
        raise _RAISED[code]

    worker = Worker(None, "w", {JobKind.INFERENCE: fail}, [], 30)  # type: ignore[arg-type, dict-item]
    second = ClaimedJob(1, JobKind.INFERENCE, "1.2.3.4", 1, "t", 2, 99, datetime.now(UTC), child_deaths=1)  # type: ignore[arg-type]

    assert isinstance(worker._conclude(second), GiveUp)


def test_images_are_never_tried_again() -> None:
    """Their codes are those of the other table, and none of them is in both with another class."""

    def fail(_: ClaimedJob) -> None:
        raise UnusableInput("gap", "said")

    worker = Worker(None, "w", {JobKind.INFERENCE: fail}, [], 30)  # type: ignore[arg-type, dict-item]

    assert isinstance(worker._conclude(_JOB), GiveUp)
    assert {code for code, kind in FAILURES.items() if kind.fault is FaultClass.INPUT} <= REASONS.keys()


def test_what_can_be_final_has_words_for_a_report() -> None:
    """Each code with which a job may end, unless its attempts are spent, is told to whoever waits for a result."""
    final = {code for code, kind in FAILURES.items() if kind.again in (Again.NEVER, Again.ONCE)}

    assert final <= REASONS.keys()


def test_waits_become_longer() -> None:
    """No later wait is shorter than one before."""
    for waits in WAITS.values():
        assert list(waits) == sorted(waits)
    assert WAITS[Again.AT_ONCE] == (timedelta(0),)
