"""Jobs: the queue that workers claim from, and the desk of whoever cancels or submits."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol

from storage.domain.delivery import SendOutcome
from storage.domain.job import ClaimedJob, JobKind, Priority, Reason, Refusal
from storage.domain.not_analysed import EndedInference
from storage.domain.result import NewResult


class JobQueue(Protocol):
    """Work that is waiting, held and settled; every change is fenced by the lease token and audited."""

    def claim(self, kind: JobKind, worker: str) -> ClaimedJob | None:
        """Take the most urgent due job of this kind, spending one attempt; ``None`` when there is none."""
        ...

    def claim_delivery(self, worker: str, destination: str) -> ClaimedJob | None:
        """Take the most urgent due delivery to this destination, spending one attempt."""
        ...

    def claim_stray_delivery(self, worker: str, known: Sequence[str]) -> ClaimedJob | None:
        """Take a due delivery to a destination that is none of the ``known``, spending one attempt."""
        ...

    def wait_for_work(self, kind: JobKind, timeout: float, destination: str = "") -> None:
        """Return when a job of this kind may have become due, at the latest after ``timeout`` seconds.

        With a ``destination``, what is due for others ends no wait.
        """
        ...

    def renew(self, job: ClaimedJob) -> None:
        """Ask for another lease period. Raises LeaseLost."""
        ...

    def complete_analysed(self, job: ClaimedJob, result: NewResult, destinations: Sequence[str]) -> int:
        """Freeze evidence and pictures, store the result, schedule a delivery per destination; return the result's id.

        Raises:
            LeaseLost: another worker holds the job now; nothing was changed.
        """
        ...

    def complete_not_analysed(self, job: ClaimedJob, reason: Reason, refusals: Sequence[Refusal]) -> None:
        """End an inference that found nothing it may analyse, and owe the report on it. Raises LeaseLost."""
        ...

    def ended_inference(self, notice: ClaimedJob) -> EndedInference:
        """The inference that a notice tells of. Raises UnknownRecord."""
        ...

    def complete_notice(self, job: ClaimedJob, told: NewResult, destinations: Sequence[str]) -> int | None:
        """Store the report and schedule its deliveries; ``None`` when it has nothing to tell any more.

        Raises:
            LeaseLost: another worker holds the job now; nothing was changed.
        """
        ...

    def complete_delivery(self, job: ClaimedJob, outcomes: Sequence[SendOutcome]) -> None:
        """Every instance of the result is at the destination. Raises LeaseLost."""
        ...

    def retry(
        self,
        job: ClaimedJob,
        reason: Reason,
        delay: timedelta,
        outcomes: Sequence[SendOutcome] = (),
        *,
        child_died: bool = False,
    ) -> None:
        """Give the job back for a later attempt; outcomes already known are kept. Raises LeaseLost.

        ``child_died`` counts one more process that the job ended.
        """
        ...

    def fail(
        self,
        job: ClaimedJob,
        reason: Reason,
        outcomes: Sequence[SendOutcome] = (),
        refusals: Sequence[Refusal] = (),
        *,
        child_died: bool = False,
    ) -> None:
        """Give the job up for an operator to look at, and owe the report on it. Raises LeaseLost.

        ``child_died`` counts one more process that the job ended.
        """
        ...


class JobDesk(Protocol):
    """What an operator may do about work."""

    def cancel(self, job_id: int, actor: str) -> None:
        """Stop a job. Raises UnknownRecord or InvalidTransition."""
        ...

    def resubmit(self, job_id: int, actor: str) -> int:
        """Have the work of a finished job done again; return the new job's id. Raises as ``cancel``."""
        ...

    def submit(
        self,
        study_instance_uid: str,
        actor: str,
        *,
        algorithms: Collection[str] = (),
        priority: Priority | None = None,
    ) -> list[int]:
        """Have a study analysed by the active algorithms that have not looked at it. Raises as ``cancel``.

        Those of its route, with its priority, unless ``algorithms`` names others or ``priority`` is given.
        """
        ...

    def prioritise(self, job_id: int, priority: Priority, actor: str) -> None:
        """Give a job that waits another priority. Raises as ``cancel``."""
        ...
