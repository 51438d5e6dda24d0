"""Where a job stands, told to whoever watches this process: where it stood tells why it ended.

The steps are those of ``storage.domain.job_statistics.Stage``, and three more that are not timed. Each job has a thread
of its own, and what is said here is said of the job of the thread that says it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ALGORITHM = "algorithm"  # verify the folder and build the session, unless it is resident
TELL = "tell"  # of a notice: read headers and write the report
WAIT = "wait"  # another job of this process has what this one needs


def _nobody(_: str, __: str, ___: str) -> None:
    pass


class _Job(threading.local):
    """What the job of a thread has said."""

    told: Callable[[str, str, str], None] = staticmethod(_nobody)
    step = series = instance = ""
    waited_s = 0.0


_job = _Job()


def begin(step: str) -> None:
    """Say that a job begins with this step; it works on no series yet."""
    _job.series = _job.instance = ""
    enter(step)


def enter(step: str) -> None:
    """Say that a step begins, or goes on."""
    _job.step = step
    _tell(step)


def work_on(series_instance_uid: str) -> None:
    """Say which series the job works on from here, and on no instance of it in particular."""
    _job.series, _job.instance = series_instance_uid, ""
    _tell(_job.step)


def work_on_instance(sop_instance_uid: str) -> None:
    """Say which instance the job works on from here."""
    _job.instance = sop_instance_uid
    _tell(_job.step)


@contextmanager
def waiting() -> Iterator[None]:
    """The block does nothing but wait for another job of this process; its time counts for no step."""
    began = time.monotonic()
    _tell(WAIT)
    try:
        yield
    finally:
        _job.waited_s += time.monotonic() - began
        _tell(_job.step)


def working_time() -> float:
    """A clock in seconds that stands still while the job of this thread waits for another one."""
    return time.monotonic() - _job.waited_s


def tell_stages_to(told: Callable[[str, str, str], None] = _nobody) -> None:
    """From now on call this with step, series and instance whenever this thread's job changes one; or call nobody."""
    _job.told = told


def _tell(step: str) -> None:
    _job.told(step, _job.series, _job.instance)
