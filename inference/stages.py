"""Where a job stands, told to whoever watches this process: where it stood tells why it ended.

The steps are those of ``storage.domain.job_statistics.Stage``, and two more that are not timed.
"""

from collections.abc import Callable

ALGORITHM = "algorithm"  # verify the folder and build the session, unless it is resident
TELL = "tell"  # of a notice: read headers and write the report


def _nobody(_: str, __: str) -> None:
    pass


_told: Callable[[str, str], None] = _nobody
_step = _series = ""


def begin(step: str) -> None:
    """Say that a job begins with this step; it works on no series yet."""
    global _series
    _series = ""
    enter(step)


def enter(step: str) -> None:
    """Say that a step begins, or goes on."""
    global _step
    _step = step
    _told(step, _series)


def work_on(series_instance_uid: str) -> None:
    """Say which series the job works on from here."""
    global _series
    _series = series_instance_uid
    _told(_step, _series)


def tell_stages_to(told: Callable[[str, str], None] = _nobody) -> None:
    """From now on call this with the step and the series whenever one of them changes; without an argument, nobody."""
    global _told
    _told = told
