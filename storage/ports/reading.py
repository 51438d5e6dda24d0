"""Reading for pages, commands and alarms."""

from datetime import datetime
from typing import Protocol

from storage.domain.audit_event import AuditAction
from storage.domain.job import JobKind, JobState
from storage.domain.study import StudyState
from storage.ports.facts import Facts


class SiteReading(Protocol):
    """What pages and metrics tell of the whole site, as plain dictionaries."""

    def studies(
        self,
        *,
        state: StudyState | None,
        days: int | None,
        before: tuple[datetime, str] | None,
        rows: int,
        accession_number: str | None = None,
    ) -> list[Facts]:
        """Studies, newest first, received in the last ``days`` and before the last one of the previous page."""
        ...

    def study_of(self, uid: str) -> str:
        """The Study Instance UID that a Study, Series or SOP Instance UID belongs to. Raises UnknownRecord."""
        ...

    def identity(self, study_instance_uid: str) -> Facts:
        """Whose study it is. Raises UnknownRecord."""
        ...

    def jobs(
        self,
        *,
        state: JobState | None = None,
        kind: JobKind | None = None,
        before: int | None = None,
        study_instance_uid: str | None = None,
        shadow: bool | None = None,
        rows: int,
    ) -> list[Facts]:
        """Jobs, newest first, with what may be done about each."""
        ...

    def summary(self, days: int) -> Facts:
        """Counts over the last ``days``, and the studies to look at."""
        ...

    def events_ever(self) -> Facts:
        """Trouble since the installation, in numbers that only grow: what alarms are raised by."""
        ...

    def audit(
        self,
        *,
        action: AuditAction | None = None,
        actor: str | None = None,
        study_instance_uid: str | None = None,
        before: int | None = None,
        rows: int,
    ) -> list[Facts]:
        """Rows of the audit trail, newest first."""
        ...

    def change_marker(self, study_instance_uid: str | None = None) -> int:
        """A number that differs once anything that a page shows has changed, of one study or of all."""
        ...


class Monitoring(Protocol):
    """What algorithms have done, and whether what they are given has changed, as plain dictionaries."""

    def overview(self, days: float, name: str | None = None) -> Facts:
        """What every algorithm, or one, has done in the last ``days``, with the last look at its drift.

        Raises:
            UnknownRecord: no algorithm has this name.
        """
        ...

    def drift(self) -> Facts:
        """The last look at each group of results, and the alarms that have not ended."""
        ...
