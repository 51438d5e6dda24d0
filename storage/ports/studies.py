"""Studies: looking them up, settling them, and explaining what became of them."""

from collections.abc import Collection
from typing import Protocol

from storage.domain.search import Found, FoundInstance, FoundSeries, FoundStudy, HeldObject, Page, SearchKeys
from storage.domain.study import StableStudy
from storage.ports.facts import Facts


class StudyCatalog(Protocol):
    """What was received."""

    def stable_study(self, study_instance_uid: str, revision: int) -> StableStudy:
        """One revision of a study with the instances that count.

        Raises:
            UnknownRecord: no such revision.
            DamagedObject: a file is missing.
        """
        ...

    def received(self, study_instance_uid: str, revision: int) -> StableStudy:
        """The same, whether or not its files are still there. Raises UnknownRecord."""
        ...


class StudyIndex(Protocol):
    """Finding what is held: received instances and our own results; each method raises DatabaseUnavailable."""

    def search_studies(self, keys: SearchKeys, page: Page) -> Found[FoundStudy]:
        """The studies that match, newest first."""
        ...

    def search_series(self, keys: SearchKeys, page: Page) -> Found[FoundSeries]:
        """The series that match, with the studies they are in."""
        ...

    def search_instances(self, keys: SearchKeys, page: Page) -> Found[FoundInstance]:
        """The instances that match, with the series and studies they are in."""
        ...

    def objects(
        self, study_instance_uid: str, series_instance_uid: str | None = None, sop_instance_uid: str | None = None
    ) -> tuple[HeldObject, ...]:
        """Every object of a study, or of one series or instance in it; empty when there is none."""
        ...


class StudySettlement(Protocol):
    """For whoever says that a study is complete, instead of a quiet time."""

    def settle_now(self, study_instance_uid: str, sop_instance_uids: Collection[str], actor: str) -> bool:
        """Make the study stable as it is once it holds these instances; ``False`` while some of them have no row yet.

        Raises:
            DatabaseUnavailable: nothing was changed.
        """
        ...


class StudyExplainer(Protocol):
    """Everything that is known about one study."""

    def explain(self, uid: str) -> Facts:
        """The facts that `storage.domain.explanation` makes sentences of. Raises UnknownRecord."""
        ...
